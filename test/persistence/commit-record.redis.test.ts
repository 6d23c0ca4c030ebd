/** What commits write into the header of a record, seen in Redis; how they behave stands in test/contract/. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { SessionId } from '../../actors/session.ts'
import { sid, TestCluster } from '../support/hosts.ts'
import { reservationIn, stateIn, tracesOf, Writer } from './store-support.ts'

let cluster: TestCluster
let a: Writer
let b: Writer

beforeAll(async () => {
  cluster = new TestCluster()
  a = new Writer(await cluster.store())
  b = new Writer(await cluster.store())
})
afterAll(() => cluster.close())

it('CM2 a new life is newer than the one before, even if the clock of the server went back', async () => {
  const id = sid('clock')
  const future = '9000000000000000'
  await cluster.redis.set(cluster.keys.session(id), `3t ${future} 7 x-1 deleted -`)
  expect(await a.write(a.creation(id))).toMatchObject({ epoch: '9000000000000001', version: 1 })
})
it('CM3 wait: a reserved turn stands in the record, which stays as it is otherwise', async () => {
  const id = sid('reserved')
  const base = await a.write(a.creation(id))
  const current = await a.write(a.commit(id, base))
  const before = await stateIn(cluster, id)
  expect(await b.run({ ...b.commit(id, base), reserve: true })).toMatchObject({ kind: 'stale' })
  const held = await tracesOf(cluster, id)
  expect(reservationIn(held.record)).toMatch(new RegExp(`^${b.store.node}:\\d+$`))
  expect(held.keyTtlMs).toBeGreaterThan(3_600_000)
  // Longer than in real life, so that the test has time to look.
  const longer = held.record?.replace(/^(3 \d+ \d+ \w+):\d+/, `$1:${Date.now() + 5000}`) ?? ''
  await cluster.redis.set(cluster.keys.session(id), longer, 'KEEPTTL')

  const kept = await a.run(a.commit(id, current))
  expect(kept.kind === 'wait' && kept.ms > 1000 && kept.ms <= 5000).toBe(true)
  expect(await a.run({ ...a.commit(id, base), reserve: true })).toMatchObject({ kind: 'wait' })
  expect(await stateIn(cluster, id)).toEqual(before)
  // It cannot be taken from its holder, and is over with the commit or with its time.
  expect(await b.run(b.commit(id, current))).toMatchObject({ kind: 'committed', version: 3 })
  expect(reservationIn((await tracesOf(cluster, id)).record)).toBe('-')
  expect(await a.run(a.commit(id, { ...current, version: 3 }))).toMatchObject({ kind: 'committed' })
})

it('CM4 writers of long ago are forgotten, so that a record stays small', async () => {
  const id = sid('forgetful')
  const base = await b.write(b.creation(id))
  await forge(id, (header) =>
    header.replace(/;(\w+):(\d+):(\d+):(\d+):-:/, `;$1:$2:$3:$4:${Date.now() - 700_000}:`),
  )
  await a.write(a.commit(id, base))
  const header = (await tracesOf(cluster, id)).record?.split('\n')[0]
  expect(header).toContain(`;${a.store.node}:`)
  expect(header).not.toContain(`;${b.store.node}:`)
})

async function forge(id: SessionId, change: (header: string) => string): Promise<void> {
  const name = cluster.keys.session(id)
  const record = (await cluster.redis.get(name)) ?? ''
  const end = record.indexOf('\n')
  await cluster.redis.set(name, change(record.slice(0, end)) + record.slice(end), 'KEEPTTL')
}
