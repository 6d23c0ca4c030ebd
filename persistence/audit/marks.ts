/**
 * What lists look for in a session's row: `state:a.b` for each state that it is in, by the path of its keys, and `tag:x`. Made here
 * and not by PostgreSQL, where taking a value apart costs more than the rest of the row.
 */
import type { PublicState } from '../../actors/session.ts'

export function stateMark(path: string): string {
  return `state:${path}`
}

export function tagMark(tag: string): string {
  return `tag:${tag}`
}

/** @param state JSON text of a public state @returns JSON text of an array; `[]` of what is none: PostgreSQL tells what is wrong */
export function marksOf(state: string): string {
  let parsed: Partial<PublicState> | null
  try {
    parsed = JSON.parse(state) as Partial<PublicState> | null
  } catch {
    return '[]'
  }
  const marks: string[] = []
  markStates(parsed?.value, '', marks)
  const tags: unknown = parsed?.tags
  if (Array.isArray(tags)) for (const tag of tags) if (typeof tag === 'string') marks.push(tagMark(tag))
  return JSON.stringify(marks)
}

function markStates(value: unknown, before: string, marks: string[]): void {
  if (typeof value === 'string') marks.push(stateMark(before + value))
  else if (typeof value === 'object' && value !== null)
    for (const [key, below] of Object.entries(value)) {
      marks.push(stateMark(before + key))
      markStates(below, `${before}${key}.`, marks)
    }
}
