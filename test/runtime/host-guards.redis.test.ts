/** What callers may hand to a host without harm to sessions, theirs or others. */
import { assign, setup } from 'xstate'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import { partitionOf } from '../../actors/partitions.ts'
import { NOBODY, TestCluster, until } from '../support/hosts.ts'
import type { TestProcess } from '../support/hosts.ts'
import { contextIn, counterSession } from './host-machines.ts'

const keeper = defineSession({
  name: 'keeper',
  version: 1,
  machine: setup({
    types: {} as { context: { kept: unknown[] }; input: unknown[]; events: { type: string; item?: unknown } },
  }).createMachine({
    context: ({ input }) => ({ kept: input }),
    on: {
      KEEP: { actions: assign({ kept: ({ context, event }) => [...context.kept, event.item] }) },
      NUL: { actions: assign({ kept: () => ['\u0000'] }) },
    },
  }),
})

let cluster: TestCluster
let p: TestProcess

beforeAll(async () => {
  cluster = new TestCluster()
  p = await cluster.process({ definitions: [keeper, counterSession()] })
})
afterAll(() => cluster.close())

const keptIn = (record: { state: string }): unknown =>
  (JSON.parse(record.state) as { context: { kept: unknown } }).context.kept

describe('what a caller hands in', () => {
  it('AU4 is taken as it was at the call, whatever its owner does to it later', async () => {
    const input: unknown[] = [1]
    const item = { n: 1 }
    const { id } = (await p.host.create({ machine: 'keeper', input }, NOBODY)).record
    input.push(2)
    await p.host.update({ id, event: { type: 'KEEP', item } }, NOBODY)
    item.n = 99
    const { record } = await p.host.update({ id, event: { type: 'KEEP', item: null } }, NOBODY)
    expect(keptIn(record)).toEqual([1, { n: 1 }, null])
  })

  it.each([0.5, -1, 0, 1e14, NaN, '5' as never])(
    'a lifetime of %s is refused, and nobody waits for it',
    async (ttlMs) => {
      const { id } = (await p.host.create({ machine: 'counter' }, NOBODY)).record
      const [refused, updated] = await Promise.allSettled([
        p.host.create({ machine: 'counter', ttlMs }, NOBODY),
        p.host.update({ id, event: { type: 'ADD' } }, NOBODY),
      ])
      expect(refused).toMatchObject({ reason: { code: 'invalid_params' } })
      expect(updated).toMatchObject({ value: { outcome: 'committed' } })
    },
  )

  it('AU1 what PostgreSQL cannot hold is refused before it is acknowledged', async () => {
    const { id } = (await p.host.create({ machine: 'keeper', input: [] }, NOBODY)).record
    for (const item of ['\u0000', { a: ['x\u0000'] }, '\ud800', '\udc00x', { 'a\u0000': 1 }])
      await expect(p.host.update({ id, event: { type: 'KEEP', item } }, NOBODY)).rejects.toMatchObject({
        code: 'event_invalid',
      })
    await expect(p.host.create({ machine: 'keeper', input: ['\u0000'] }, NOBODY)).rejects.toMatchObject({
      code: 'event_invalid',
    })
    await expect(
      p.host.update({ id, key: 'k\u0000', event: { type: 'KEEP' } }, NOBODY),
    ).rejects.toMatchObject({
      code: 'invalid_params',
    })
    await expect(p.host.update({ id, event: { type: 'NUL' } }, NOBODY)).rejects.toMatchObject({
      code: 'internal',
    })
    for (const item of ['\\u0000', '\\\\u0000', '\ud83d\ude00', '\\ud800']) {
      const { record } = await p.host.update({ id, event: { type: 'KEEP', item } }, NOBODY)
      expect((keptIn(record) as unknown[]).at(-1)).toBe(item)
    }
    expect((await p.host.get(id))?.version).toBe(5)
  })
})

describe('command keys and lives of an id', () => {
  it('CM5 a key of an earlier life is not known in the next', async () => {
    const id = 'lives' as never
    const add = { type: 'ADD' }
    await p.host.create({ machine: 'counter', id }, NOBODY)
    await p.host.update({ id, event: add }, NOBODY)
    await p.host.update({ id, key: 'k', event: add }, NOBODY)
    expect(await p.host.update({ id, key: 'k', event: add }, NOBODY)).toMatchObject({
      outcome: 'duplicate',
      applied: 3,
    })
    await p.host.delete(id, NOBODY)
    await p.host.create({ machine: 'counter', id, key: 'made' }, NOBODY)
    expect(await p.host.update({ id, key: 'k', event: add }, NOBODY)).toMatchObject({
      outcome: 'committed',
      applied: 2,
    })
    await p.host.delete(id, NOBODY)
    await p.host.create({ machine: 'keeper', id, input: [] }, NOBODY)
    await expect(p.host.create({ machine: 'counter', id, key: 'made' }, NOBODY)).rejects.toMatchObject({
      code: 'session_exists',
    })
  })
})

describe('a server that is another without a new connection', () => {
  it('CM7 a read tells the epoch that commits compare with', async () => {
    const { id } = (await p.host.create({ machine: 'counter' }, NOBODY)).record
    const before = await p.host.get(id)
    // As after a failover behind an address that stayed: another replication id.
    await cluster.redis.hset(cluster.keys.home(partitionOf(id)), 'server', 'another')
    await p.host.update({ id, event: { type: 'ADD' } }, NOBODY)
    const other = (await p.host.create({ machine: 'counter', id: sameDoor(id) }, NOBODY)).record
    expect(other.epoch > (before?.epoch ?? '')).toBe(true)
    await until(async () => {
      const read = await p.host.get(id)
      return (
        read !== null &&
        (await p.host.update({ id, ifVersion: read, event: { type: 'ADD' } }, NOBODY)).outcome === 'committed'
      )
    })
    expect(contextIn((await p.host.get(id)) ?? { state: '' }).n).toBeGreaterThan(1)
  })
})

/** Another id of the same partition. */
function sameDoor(id: string): string {
  for (let n = 0; ; n++) if (partitionOf(`door-${n}`) === partitionOf(id)) return `door-${n}`
}
