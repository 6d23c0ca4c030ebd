/** A server whose memory is full: one of the test's own, because it refuses everybody. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { SessionId } from '../../actors/session.ts'
import { startEmbeddedServers } from '../../runtime/embedded/servers.ts'
import type { EmbeddedServers } from '../../runtime/embedded/servers.ts'
import { NOBODY, sid, TestCluster } from '../support/hosts.ts'
import { counterSession } from '../runtime/host-machines.ts'
import { key, stateIn, tracesOf, transition, Writer } from './store-support.ts'

let folder: string
let servers: EmbeddedServers
let cluster: TestCluster

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'troupe-memory-'))
  servers = await startEmbeddedServers({
    dataDir: folder,
    redisBinaries: join(import.meta.dirname, '..', '..', '.troupe', 'redis-server'),
    redis: true,
    postgres: false,
    durable: false,
    log: () => undefined,
  })
  cluster = new TestCluster(servers.redisUrl)
})
afterAll(async () => {
  await cluster.close()
  await servers.stop()
  rmSync(folder, { recursive: true })
})

async function fill(): Promise<void> {
  await cluster.redis.config('SET', 'maxmemory', '1mb')
}

async function empty(): Promise<void> {
  await cluster.redis.config('SET', 'maxmemory', '0')
}

it('CM1 a server without memory writes nothing of a commit, says so, and works later', async () => {
  const writer = new Writer(await cluster.store())
  const id: SessionId = sid('full')
  const base = await writer.write(writer.creation(id))
  const before = await stateIn(cluster, id)
  const k = key('while-full')
  const commit = writer.commit(id, base, { keys: [k], transitions: [transition(2, k), transition(3)] })
  const creation = writer.creation(sid('another'))

  await fill()
  const outcomes = await writer.store.execute([commit, creation, writer.deletion(id), writer.check(id, base)])
  expect(outcomes.map((outcome) => [outcome.kind, outcome.kind === 'refused' && outcome.retryable])).toEqual([
    ['refused', true],
    ['refused', true],
    ['refused', true],
    ['current', false],
  ])
  expect(await stateIn(cluster, id)).toEqual(before)
  expect(await tracesOf(cluster, sid('another'))).toMatchObject({ record: null, rows: [], expiryEntry: null })

  await empty()
  expect(await writer.run(commit)).toMatchObject({ kind: 'committed', version: 3 })
  expect(await writer.run(creation)).toMatchObject({ kind: 'committed', version: 1 })
})

it('CM1 callers are told unavailable while memory is full, and reads go on', async () => {
  const { host } = await cluster.process({ definitions: [counterSession()] })
  const { record } = await host.create({ machine: 'counter' }, NOBODY)
  await fill()
  const add = { id: record.id, event: { type: 'ADD' } }
  await expect(host.update(add, NOBODY)).rejects.toMatchObject({ code: 'unavailable', retryable: true })
  await expect(host.create({ machine: 'counter' }, NOBODY)).rejects.toMatchObject({ code: 'unavailable' })
  await expect(host.delete(record.id, NOBODY)).rejects.toMatchObject({ code: 'unavailable' })
  expect(await host.get(record.id)).toMatchObject({ version: 1 })
  await empty()
  expect(await host.update(add, NOBODY)).toMatchObject({ outcome: 'committed', applied: 2 })
})

it('CM1 a server that did not know its partition yet refuses the whole call, and works later', async () => {
  const writer = new Writer(await cluster.store())
  const entry = writer.creation(sid('homeless'))
  await cluster.redis.del(...cluster.keys.bases.map((_, partition) => cluster.keys.home(partition)))
  await fill()
  await expect(writer.run(entry)).rejects.toMatchObject({ name: 'StoreFailure', effect: 'not-applied' })
  await empty()
  expect(await writer.run(entry)).toMatchObject({ kind: 'committed' })
})
