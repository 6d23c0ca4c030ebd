import fc from 'fast-check'
import { applyPatch } from 'rfc6902'
import type { Operation } from 'rfc6902'
import { describe, expect, it } from 'vitest'
import { patchText } from '../../transport/feed/view-patch.ts'

function patched(before: unknown, after: unknown): unknown {
  const holder = { value: structuredClone(before) }
  const text = patchText(before, after)
  if (text === null) return after
  const patch = JSON.parse(text) as Operation[]
  const failures = applyPatch(
    holder,
    patch.map((each) => ({ ...each, path: `/value${each.path}` })),
  )
  expect(failures.every((failure) => failure === null)).toBe(true)
  return holder.value
}

const operations = (before: unknown, after: unknown): string[] =>
  (JSON.parse(patchText(before, after) ?? 'null') as Operation[]).map(({ op, path }) => `${op} ${path}`)

describe('a patch of a view', () => {
  it('makes the one after of the one before, whatever they are', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (before, after) => {
        const [from, to] = JSON.parse(JSON.stringify([before, after])) as [unknown, unknown]
        expect(patched({ it: from }, { it: to })).toEqual({ it: to })
      }),
      { numRuns: 500 },
    )
  })

  it('names no __proto__', () => {
    const hostile = JSON.parse('{"it": {"__proto__": {"a": 1}}}') as unknown
    expect(patchText({ it: {} }, hostile)).toBeNull()
    expect(patchText({}, { it: 'tell me of __proto__' })).toBeNull()
  })

  it('makes lists of each other that have much in common', () => {
    const list = fc.array(fc.oneof(fc.integer({ max: 3 }), fc.record({ a: fc.integer({ max: 3 }) })), {
      maxLength: 8,
    })
    fc.assert(
      fc.property(list, list, (before, after) => {
        expect(patched(before, after)).toEqual(after)
      }),
      { numRuns: 1000 },
    )
  })

  it('tells of a list only what has changed', () => {
    const lines = Array.from({ length: 5000 }, (_, n) => ({ n, text: `line ${n}` }))
    expect(operations({ lines }, { lines: [...lines, { n: -1, text: 'new' }] })).toEqual(['add /lines/5000'])
    expect(operations({ lines }, { lines: lines.slice(1) })).toEqual(['remove /lines/0'])
    expect(operations({ lines }, { lines: lines.with(7, { n: 7, text: 'other' }) })).toEqual([
      'replace /lines/7/text',
    ])
  })
})
