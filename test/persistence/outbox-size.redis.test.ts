/** What docs/operating.md says of the memory that waiting transitions take. */
import { expect, it } from 'vitest'
import { partitionOf } from '../../actors/partitions.ts'
import { counterSession } from '../runtime/host-machines.ts'
import { NOBODY, sid, TestCluster } from '../support/hosts.ts'

/** Redis rounds what it takes of its allocator up, by a quarter at most. */
const bound = (stateAndEvent: number): number => 500 + 1.25 * stateAndEvent

it.each([0, 1_000, 2_000, 20_000])(
  'a transition in the outbox takes at most 500 bytes and 1.25 times its state and event (ballast: %i bytes)',
  async (ballast) => {
    const cluster = new TestCluster()
    try {
      const { host } = await cluster.process({ definitions: [counterSession()] })
      const id = sid('5f3c1c1e-7b51-4a0e-9d53-0d0f5f7f0b1a')
      await host.create({ machine: 'counter', id, input: { ballast: 'x'.repeat(ballast) } }, NOBODY)
      const event = { type: 'ADD' }
      for (let n = 0; n < 200; n++)
        await host.update({ id, event, key: `some-client-${n}` }, { ...NOBODY, principal: { id: 'alice' } })
      const outbox = cluster.keys.outbox(partitionOf(id))
      const entries = await cluster.redis.xlen(outbox)
      const bytes = Number(await cluster.redis.memory('USAGE', outbox, 'SAMPLES', 0))
      const state = (await host.get(id))?.state.length ?? 0
      expect(entries).toBe(201)
      expect(state).toBeGreaterThanOrEqual(ballast)
      const eachTakes = bytes / entries
      console.log(
        `outbox: ${Math.round(eachTakes)} bytes a transition, ${state + JSON.stringify(event).length} of them state and event`,
      )
      expect(eachTakes).toBeLessThan(bound(state + JSON.stringify(event).length))
    } finally {
      await cluster.close()
    }
  },
)
