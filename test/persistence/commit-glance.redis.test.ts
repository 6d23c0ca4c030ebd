/** Commits that find the session as their writer knows it are written as they came; nothing less will do. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { CommitEntry } from '../../actors/ports.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { sid, sleepMs, TestCluster } from '../support/hosts.ts'
import { key, stateOf, Writer } from './store-support.ts'

const cluster = new TestCluster()
let a: Writer
let b: Writer
beforeAll(async () => {
  a = new Writer(await cluster.store())
  b = new Writer(await cluster.store())
})
afterAll(() => cluster.close())

/** What nobody looks at but to copy it: whose record has it afterwards tells where the record came from. */
const MARK = 12345

async function known(id: SessionId): Promise<SessionRecord> {
  const record = await a.store.read(id)
  if (record === null) throw new Error(`there is no session ${id}`)
  return record
}

function marked(writer: Writer, found: SessionRecord, more: Partial<CommitEntry> = {}): CommitEntry {
  const { epoch, version } = found
  return writer.commit(found.id, { epoch, version }, { found: { ...found, createdAt: MARK }, ...more })
}

async function isMarked(id: SessionId): Promise<boolean> {
  return (await known(id)).createdAt === MARK
}

it('CM2 a commit over the record that its writer knows is written as it came, and answered as any other', async () => {
  const id = sid('plain')
  const created = await a.write(a.creation(id))
  const found = await known(id)
  const outcome = await a.write(marked(a, found))
  expect(await isMarked(id)).toBe(true)
  const record = await known(id)
  const { epoch, time, expiresAt, writers } = outcome
  expect(outcome).toMatchObject({ firstVersion: 2, version: 2, timers: '-' })
  expect(epoch).toBe(created.epoch)
  expect(record).toMatchObject({ epoch, version: 2, updatedAt: time, expiresAt, writers, state: stateOf(2) })
  expect(expiresAt).toBe(time + 3_600_000)
})

it('CM4 it is known when it comes again, whoever has written since', async () => {
  const id = sid('again')
  await b.write(b.creation(id))
  const entry = marked(a, await known(id))
  await a.write(entry)
  expect(await a.run(entry)).toMatchObject({ kind: 'duplicate', firstVersion: 2, version: 2 })
  const next = marked(b, await known(id))
  await b.write(next)
  expect(await a.run(entry)).toMatchObject({ kind: 'duplicate', firstVersion: 2, version: 2 })
  expect(await b.run(next)).toMatchObject({ kind: 'duplicate', firstVersion: 3, version: 3 })
  expect((await known(id)).version).toBe(3)
})

it('CM3 a record that somebody has changed since is not written over', async () => {
  const id = sid('changed')
  await a.write(a.creation(id))
  const found = await known(id)
  await b.write(
    marked(b, found, { transitions: [{ ...b.commit(id, found).transitions[0]!, state: stateOf(9) }] }),
  )
  expect(await a.run(marked(a, found))).toMatchObject({
    kind: 'stale',
    record: { version: 2, state: stateOf(9) },
  })
})

it.each<[string, (id: SessionId, found: SessionRecord) => Partial<CommitEntry>]>([
  ['arms a timer', () => ({ timers: ';1:+60000' })],
  ['ends it', () => ({ done: true })],
  ['gives it another lifetime', () => ({ ttlMs: 7_000_000 })],
  ['takes it to another version of its definition', () => ({ machineVersion: 2 })],
  ['runs a promise', () => ({ runs: `;1:${a.store.node}` })],
])('CM1 a commit that %s is looked at more closely', async (what, change) => {
  const id = sid(what.replaceAll(' ', '-'))
  await a.write(a.creation(id))
  const found = await known(id)
  expect(await a.run(marked(a, found, change(id, found)))).toMatchObject({ kind: 'committed', version: 2 })
  expect(await isMarked(id)).toBe(false)
})

it('CM5 a command key that is known is found at a glance too', async () => {
  const id = sid('keyed')
  await a.write(a.creation(id))
  const k = key('once')
  const [step] = a.commit(id, await known(id)).transitions
  const keyed = { keys: [k], transitions: [{ ...step!, key: k }] }
  await a.write(marked(a, await known(id), keyed))
  expect(await b.run(marked(b, await known(id), keyed))).toMatchObject({
    kind: 'known',
    hits: [{ index: 0, reused: false, version: 2 }],
  })
  expect((await known(id)).version).toBe(2)
})

it('a reserved turn, and an end that has come, are seen', async () => {
  const id = sid('reserved')
  const base = await a.write(a.creation(id))
  await a.write(a.commit(id, base))
  const found = await known(id)
  expect(await b.run({ ...b.commit(id, base), reserve: true })).toMatchObject({ kind: 'stale' })
  expect(await a.run(marked(a, found))).toMatchObject({ kind: 'wait' })

  const brief = sid('brief')
  await a.write(a.creation(brief, { ttlMs: 30 }))
  const last = await known(brief)
  await sleepMs(40)
  expect(await a.run(marked(a, last, { ttlMs: 30 }))).toMatchObject({ kind: 'gone', reason: 'expired' })
})
