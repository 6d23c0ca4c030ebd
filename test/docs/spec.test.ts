import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')
const ID = /\b(?:CM|TM|MG|FD|PR|AU|TR|LC)\d+\b/g

function idsInSpec(): Set<string> {
  const spec = readFileSync(join(ROOT, 'docs/spec.md'), 'utf8')
  return new Set([...spec.matchAll(/^- \*\*([A-Z]{2}\d+)\*\*/gm)].map(([, id]) => id as string))
}

/** Ids at the beginning of titles of tests and their groups. */
function idsInTests(): Set<string> {
  const files = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.test.ts'),
  )
  const titles = files.flatMap((file) => {
    const text = readFileSync(join(ROOT, 'test', file), 'utf8')
    return [
      ...text.matchAll(/\b(?:it|test|describe)(?:\.each\([^)]*\))?\(\s*['"`]((?:[A-Z]{2}\d+[ ,]+)+)/g),
    ].map(([, ids]) => ids as string)
  })
  return new Set(titles.flatMap((title) => title.match(ID) ?? []))
}

describe('docs/spec.md', () => {
  it('has a test for each of its invariants', () => {
    const tested = idsInTests()
    expect([...idsInSpec()].filter((id) => !tested.has(id))).toEqual([])
  })

  it('has each invariant that a test names', () => {
    const specified = idsInSpec()
    expect([...idsInTests()].filter((id) => !specified.has(id))).toEqual([])
  })
})
