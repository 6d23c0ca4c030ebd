/** What one can wait for: that a session is done, has a tag, or is in a state. */
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { TroupeError } from './errors.ts'
import type { PublicState } from './session.ts'
import { problemOfStateValue } from './state-value.ts'

/** `value`: a state by its key, or an object of states as far as they matter, as in XState's `matches`. */
export type Until = { readonly done: true } | { readonly tag: string } | { readonly value: unknown }

export function fulfils({ status, tags, value }: PublicState, until: Until): boolean {
  if ('done' in until) return status === 'done'
  if ('tag' in until) return tags.includes(until.tag)
  return matches(value, until.value)
}

/** As XState's `matches`: what is wanted may be less than what is there. */
function matches(value: unknown, wanted: unknown): boolean {
  if (typeof wanted === 'string') {
    return typeof value === 'string' ? value === wanted : isObject(value) && Object.hasOwn(value, wanted)
  }
  return (
    isObject(wanted) &&
    isObject(value) &&
    Object.entries(wanted).every(([key, of]) => Object.hasOwn(value, key) && matches(value[key], of))
  )
}

/**
 * Refuses what can never come true, as a misspelt state.
 * @param machine what the session is computed with; @param next what it may be migrated to
 * @throws TroupeError `invalid_params`
 */
export function checkUntil(until: Until, machine: AnyStateMachine, next = machine): void {
  const problem = problemOf(until, machine)
  if (problem !== null && problemOf(until, next) !== null) throw new TroupeError('invalid_params', problem)
}

function problemOf(until: Until, { root }: AnyStateMachine): string | null {
  if ('done' in until) return null
  if ('value' in until) return problemOfStateValue(root, until.value, 'until.value')
  const tags = new Set(nodesOf(root).flatMap((node) => node.tags))
  if (tags.has(until.tag)) return null
  const instead = tags.size === 0 ? 'there are none' : `there are: ${[...tags].join(', ')}`
  return `until.tag: no state has the tag ${JSON.stringify(until.tag)}; ${instead}`
}

function nodesOf(node: AnyStateNode): AnyStateNode[] {
  return [node, ...Object.values(node.states).flatMap(nodesOf)]
}

/**
 * @returns what a caller in TypeScript has given, which need not be what its type says
 * @throws TroupeError `invalid_params`
 */
export function asUntil(given: unknown): Until {
  if (isObject(given)) {
    const { done, tag, value } = given
    const isOne = Object.keys(given).length === 1
    if (isOne && (done === true || (typeof tag === 'string' && tag !== '') || value !== undefined))
      return given as Until
  }
  throw new TroupeError(
    'invalid_params',
    'until: must be { done: true }, { tag: "…" } or { value: … }, the key of a state or an object of states',
  )
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
