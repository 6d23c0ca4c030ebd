/** What takes minutes, in the store in memory; what it does at once stands in test/contract/. */
import { beforeEach, expect, it } from 'vitest'
import { partitionOf } from '../../actors/partitions.ts'
import { MemoryServer } from '../../persistence/memory-server.ts'
import { MemorySessionStore } from '../../persistence/memory-session-store.ts'
import { sid } from '../support/hosts.ts'
import { Writer } from './store-support.ts'

const MINUTE = 60_000
const id = sid('one')

let nowMs: number
let server: MemoryServer
let a: Writer
let b: Writer

beforeEach(() => {
  nowMs = Date.UTC(2026, 0, 1)
  server = new MemoryServer(() => nowMs)
  ;[a, b] = ['a', 'b'].map(
    (node) => new Writer(new MemorySessionStore({ server, node, commandKeyTtlMs: MINUTE })),
  ) as [Writer, Writer]
})

it('CM4 a tombstone tells for ten minutes, then nothing is known', async () => {
  const made = await a.write(a.creation(id))
  await a.write(a.deletion(id))
  nowMs += 10 * MINUTE
  expect(await b.run(b.check(id, made))).toMatchObject({ kind: 'gone', reason: 'deleted' })
  nowMs += 1
  expect(await b.run(b.check(id, made))).toEqual({ kind: 'gone', reason: null, position: null })
  expect(await b.store.positions([id])).toEqual([null])
})

it('CM4 a process that wrote more than ten minutes ago is forgotten with the next commit', async () => {
  const creation = a.creation(id)
  const made = await a.write(creation)
  nowMs += 10 * MINUTE
  const next = await b.write(b.commit(id, made))
  expect(await a.run(creation)).toMatchObject({ kind: 'duplicate', version: 1 })
  nowMs += 1
  await b.write(b.commit(id, next))
  expect(await a.run(creation)).toMatchObject({ kind: 'stale' })
})

it('a record that vanished before any sweep: its end is version 0 of an epoch of its own', async () => {
  await a.write(a.creation(id, { ttlMs: MINUTE }))
  nowMs += 11 * MINUTE + 1
  expect(await a.store.positions([id])).toEqual([null])
  expect(await b.run(b.expiry(id))).toMatchObject({ kind: 'committed', version: 0 })
  expect(await a.run(a.expiry(id))).toMatchObject({ kind: 'gone', reason: 'expired' })
  expect(server.outbox.at(-1)).toMatchObject({ kind: 'expired', version: 0, previous: null })
})

it('a life that begins before any sweep came to a vanished record has its end before it', async () => {
  await a.write(a.creation(id, { ttlMs: MINUTE }))
  nowMs += 11 * MINUTE + 1
  const { epoch } = await b.write(b.creation(id))
  expect(server.outbox.map(({ kind, version }) => `${version} ${kind}`)).toEqual([
    '1 created',
    '0 expired',
    '1 created',
  ])
  expect(Number(epoch)).toBeGreaterThan(Number(server.outbox[1]?.epoch))
})

it('a gap of more than ten seconds between looks is a downtime', async () => {
  const look = async (writer: Writer) => (await writer.store.look(partitionOf(id), 0, 10)).downtime
  const fromMs = nowMs
  expect(await look(a)).toBeNull()
  nowMs += 10_000
  expect(await look(b)).toBeNull()
  nowMs += 10_001
  expect(await look(b)).toEqual({ fromMs: fromMs + 10_000, toMs: nowMs })
  nowMs += 1000
  expect(await look(a)).toEqual({ fromMs: fromMs + 10_000, toMs: nowMs - 1000 })
})

it('a session whose timers or promises keep it beyond its time is looked at again later', async () => {
  await a.write(a.creation(id, { ttlMs: 1000, runs: ';1:a' }))
  nowMs += 2000
  expect(await b.run(b.expiry(id))).toMatchObject({ kind: 'early' })
  expect(server.dueAt('expiry', id)).toBe(nowMs + 15_000)
})
