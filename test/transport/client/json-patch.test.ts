import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyPatch, PatchError, type PatchOperation } from '../../../transport/client/json-patch.ts'

/** The cases of RFC 6902, appendix A; `null`: an error. */
const appendix: [string, unknown, unknown[], unknown][] = [
  ['A.1', { foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { baz: 'qux', foo: 'bar' }],
  [
    'A.2',
    { foo: ['bar', 'baz'] },
    [{ op: 'add', path: '/foo/1', value: 'qux' }],
    { foo: ['bar', 'qux', 'baz'] },
  ],
  ['A.3', { baz: 'qux', foo: 'bar' }, [{ op: 'remove', path: '/baz' }], { foo: 'bar' }],
  ['A.4', { foo: ['bar', 'qux', 'baz'] }, [{ op: 'remove', path: '/foo/1' }], { foo: ['bar', 'baz'] }],
  [
    'A.5',
    { baz: 'qux', foo: 'bar' },
    [{ op: 'replace', path: '/baz', value: 'boo' }],
    { baz: 'boo', foo: 'bar' },
  ],
  [
    'A.6',
    { foo: { bar: 'baz', waldo: 'fred' }, qux: { corge: 'grault' } },
    [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
    { foo: { bar: 'baz' }, qux: { corge: 'grault', thud: 'fred' } },
  ],
  [
    'A.7',
    { foo: ['all', 'grass', 'cows', 'eat'] },
    [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
    { foo: ['all', 'cows', 'eat', 'grass'] },
  ],
  [
    'A.8',
    { baz: 'qux', foo: ['a', 2, 'c'] },
    [
      { op: 'test', path: '/baz', value: 'qux' },
      { op: 'test', path: '/foo/1', value: 2 },
    ],
    { baz: 'qux', foo: ['a', 2, 'c'] },
  ],
  ['A.9', { baz: 'qux' }, [{ op: 'test', path: '/baz', value: 'bar' }], null],
  [
    'A.10',
    { foo: 'bar' },
    [{ op: 'add', path: '/child', value: { grandchild: {} } }],
    { foo: 'bar', child: { grandchild: {} } },
  ],
  ['A.11', { foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux', xyz: 123 }], { foo: 'bar', baz: 'qux' }],
  ['A.12', { foo: 'bar' }, [{ op: 'add', path: '/baz/bat', value: 'qux' }], null],
  ['A.14', { '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: 10 }], { '/': 9, '~1': 10 }],
  ['A.15', { '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: '10' }], null],
  [
    'A.16',
    { foo: ['bar'] },
    [{ op: 'add', path: '/foo/-', value: ['abc', 'def'] }],
    { foo: ['bar', ['abc', 'def']] },
  ],
]

const apply = (value: unknown, patch: unknown): unknown => applyPatch(value, patch as PatchOperation[])

describe('a patch', () => {
  it.each(appendix)('does what RFC 6902 says in %s', (_name, before, patch, after) => {
    const copy = structuredClone(before)
    if (after === null) expect(() => apply(before, patch)).toThrow(PatchError)
    else expect(apply(before, patch)).toEqual(after)
    expect(before).toEqual(copy)
  })

  it.each([
    ['an element beyond the end', [1], [{ op: 'add', path: '/2', value: 0 }]],
    ['an index with a leading zero', [1, 2], [{ op: 'remove', path: '/01' }]],
    ['a negative index', [1, 2], [{ op: 'replace', path: '/-1', value: 0 }]],
    ['the end as something that is there', [1], [{ op: 'remove', path: '/-' }]],
    ['a path without a slash', { a: 1 }, [{ op: 'remove', path: 'a' }]],
    ['a tilde alone', { '~': 1 }, [{ op: 'remove', path: '/~' }]],
    ['a missing member', {}, [{ op: 'replace', path: '/a', value: 1 }]],
    ['a missing value', {}, [{ op: 'add', path: '/a' }]],
    ['another operation', {}, [{ op: 'merge', path: '/a', value: 1 }]],
    ['a way through a string', { a: 'text' }, [{ op: 'add', path: '/a/0', value: 'x' }]],
    ['a move into itself', { a: { b: 1 } }, [{ op: 'move', from: '/a', path: '/a/b' }]],
    ['members that all objects have', {}, [{ op: 'copy', from: '/constructor', path: '/a' }]],
    ['__proto__', {}, [{ op: 'add', path: '/__proto__/polluted', value: true }]],
    ['__proto__ at the end', {}, [{ op: 'add', path: '/__proto__', value: { polluted: true } }]],
    ['the constructor', {}, [{ op: 'add', path: '/constructor/prototype/polluted', value: true }]],
  ])('is refused with %s, and changes nothing', (_name, before, patch) => {
    const copy = structuredClone(before)
    expect(() => apply(before, patch)).toThrow(PatchError)
    expect(before).toEqual(copy)
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })

  it('replaces the whole value, and tells ~0 from ~1', () => {
    expect(apply({ a: 1 }, [{ op: 'replace', path: '', value: [1] }])).toEqual([1])
    expect(apply({ 'a/b': 1, 'a~b': 2 }, [{ op: 'remove', path: '/a~1b' }])).toEqual({ 'a~b': 2 })
    expect(apply({ 'a/b': 1, 'a~b': 2 }, [{ op: 'remove', path: '/a~0b' }])).toEqual({ 'a/b': 1 })
  })

  it('leaves what it does not touch the same objects', () => {
    const before = { rows: [{ n: 1 }, { n: 2 }], other: { deep: {} } }
    const after = apply(before, [{ op: 'replace', path: '/rows/1/n', value: 3 }]) as typeof before
    expect(after.other).toBe(before.other)
    expect(after.rows[0]).toBe(before.rows[0])
    expect(after.rows[1]).toEqual({ n: 3 })
    expect(before.rows[1]).toEqual({ n: 2 })
  })

  it('never changes a value that it has copied, nor the patch itself', () => {
    const patch = [
      { op: 'add', path: '/a', value: { n: 1 } },
      { op: 'replace', path: '/a/n', value: 2 },
      { op: 'copy', from: '/a', path: '/b' },
      { op: 'replace', path: '/b/n', value: 3 },
    ]
    const copy = structuredClone(patch)
    expect(apply({}, patch)).toEqual({ a: { n: 2 }, b: { n: 3 } })
    expect(patch).toEqual(copy)
  })

  it('gives the same as changing a copy in place', () => {
    const key = fc.constantFrom('a', 'b', '0', '1', '-')
    const path = fc.array(key, { minLength: 1, maxLength: 3 }).map((parts) => `/${parts.join('/')}`)
    const operation = fc.oneof(
      fc.record({ op: fc.constantFrom('add', 'replace'), path, value: fc.jsonValue({ maxDepth: 2 }) }),
      fc.record({ op: fc.constant('remove'), path }),
      fc.record({ op: fc.constantFrom('move', 'copy'), path, from: path }),
    )
    const start = fc.constant({ a: { a: [1, { b: 2 }], b: {} }, b: [[], { a: 1 }] })
    fc.assert(
      fc.property(start, fc.array(operation, { maxLength: 8 }), (before, patch) => {
        const frozen = deepFreeze(structuredClone(before))
        let together: unknown
        try {
          together = apply(frozen, patch)
        } catch (error) {
          expect(error).toBeInstanceOf(PatchError)
          return
        }
        // One after another, each on a copy of its own, nothing can be shared by mistake.
        const apart = patch.reduce<unknown>(
          (value, one) => structuredClone(apply(structuredClone(value), [one])),
          structuredClone(before),
        )
        expect(together).toEqual(apart)
      }),
      { numRuns: 2000 },
    )
  })
})

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner)
    Object.freeze(value)
  }
  return value
}
