import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SmallMap } from '../../transport/feed/small-map.ts'

const keys = fc.constantFrom('a', 'b', 'c')
const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('set' as const), key: keys }),
    fc.record({ do: fc.constant('delete' as const), key: keys }),
    fc.record({ do: fc.constant('clear' as const), key: keys }),
  ),
)

describe('a map of mostly one entry', () => {
  it('holds what a Map would', () => {
    fc.assert(
      fc.property(steps, (script) => {
        const small = new SmallMap<string, { n: number }>()
        const map = new Map<string, { n: number }>()
        for (const [n, step] of script.entries()) {
          const value = { n }
          if (step.do === 'set') {
            small.set(step.key, value)
            map.set(step.key, value)
          } else if (step.do === 'delete') {
            expect(small.delete(step.key)).toBe(map.delete(step.key))
          } else {
            small.clear()
            map.clear()
          }
          expect(small.size).toBe(map.size)
          expect([...small.keys()]).toEqual([...map.keys()])
          expect([...small.values()]).toEqual([...map.values()])
          for (const key of ['a', 'b', 'c']) expect(small.get(key)).toBe(map.get(key))
        }
      }),
    )
  })
})
