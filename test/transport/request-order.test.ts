import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RequestOrder, type OrderKind } from '../../transport/gateway/request-order.ts'

const kinds: OrderKind[] = ['write', 'read', 'alone']
const steps = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constant('enter' as const),
      id: fc.constantFrom('a', 'b'),
      kind: fc.constantFrom(...kinds),
    }),
    fc.record({ do: fc.constant('leave' as const), which: fc.nat() }),
  ),
  { maxLength: 60 },
)

describe('the order of requests', () => {
  it('starts them in the order sent, never beside one of another kind, and forgets none', () => {
    fc.assert(
      fc.property(steps, (script) => {
        const order = new RequestOrder()
        const running: { n: number; id: string; kind: OrderKind }[] = []
        const started: Record<string, number[]> = { a: [], b: [] }
        let sent = 0
        const finish = (which: number): void => {
          const [over] = running.splice(which % running.length, 1)
          if (over !== undefined) order.leave(over.id)
        }
        for (const step of script) {
          if (step.do === 'leave') {
            if (running.length > 0) finish(step.which)
            continue
          }
          const n = sent++
          const { id, kind } = step
          order.enter(id, kind, () => {
            const beside = running.filter((other) => other.id === id)
            expect(beside.every((other) => other.kind === kind && kind !== 'alone')).toBe(true)
            running.push({ n, id, kind })
            started[id]?.push(n)
          })
        }
        while (running.length > 0) finish(0)
        for (const id of ['a', 'b'])
          expect(started[id]).toEqual([...(started[id] ?? [])].sort((x, y) => x - y))
        expect((started['a']?.length ?? 0) + (started['b']?.length ?? 0)).toBe(sent)
        expect(order.size).toBe(0)
      }),
    )
  })

  it('lets requests finish while they start', () => {
    const order = new RequestOrder()
    const done: number[] = []
    order.enter('a', 'alone', () => undefined)
    for (let n = 0; n < 5; n++) {
      order.enter('a', n % 2 ? 'write' : 'alone', () => {
        done.push(n)
        order.leave('a')
      })
    }
    order.leave('a')
    expect(done).toEqual([0, 1, 2, 3, 4])
    expect(order.size).toBe(0)
  })
})
