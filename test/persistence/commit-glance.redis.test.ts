/** Commits that find the session as their writer knows it are written as they came; nothing less will do. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parseFeedMessage } from '../../actors/feed-message.ts'
import { partitionOf } from '../../actors/partitions.ts'
import type { CommitEntry } from '../../actors/ports.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { sid, sleepMs, TestCluster } from '../support/hosts.ts'
import { key, Listener, stateOf, tracesOf, transition, Writer } from './store-support.ts'

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

it('CM2 neither a server that took back commits, nor a record that is not the one at its base, is taken at a glance', async () => {
  const id = sid('floor')
  await a.write(a.creation(id))
  const found = await known(id)
  await cluster.redis.hset(cluster.keys.home(partitionOf(id)), 'server', 'another')
  expect(await a.run(marked(a, found))).toMatchObject({ kind: 'stale', record: { version: 1 } })

  const other = sid('elsewhere')
  await a.write(a.creation(other))
  const first = await known(other)
  const ahead = { ...marked(a, first), base: { epoch: first.epoch, version: 7 } }
  expect(await a.run(ahead)).toMatchObject({ kind: 'stale', record: { version: 1 } })
})

it('CM1 several transitions, mail, a state that the audit does not get, history: all of it goes at a glance', async () => {
  const id = sid('whole')
  const to = sid('receiver')
  await a.write(a.creation(id, { history: 3, ttlMs: null, doneTtlMs: null }))
  const found = await known(id)
  const steps = [2, 3].map((n) => ({
    ...transition(n),
    mail: [{ to, event: `{"type":"HI","n":${n}}`, hops: 1 }],
    auditedState: `{"status":"active","n":${n}}`,
  }))
  const listener = await Listener.on(cluster, id)
  const lives = { ttlMs: null, doneTtlMs: null, history: 3 }
  await a.write(marked(a, found, { ...lives, transitions: steps }))
  await listener.settled()
  listener.stop()

  expect(await isMarked(id)).toBe(true)
  const record = await known(id)
  expect(record).toMatchObject({ version: 3, expiresAt: null, state: stateOf(3) })
  const { rows, keyTtlMs } = await tracesOf(cluster, id)
  expect(keyTtlMs).toBe(-1)
  expect(rows.slice(1)).toEqual(
    [2, 3].map((n) => ({
      ...{ i: id, e: record.epoch, v: String(n), c: record.commitId, p: found.commitId, k: 'event' },
      ...{ t: String(record.updatedAt), m: transition(n).audit, s: `{"status":"active","n":${n}}` },
    })),
  )
  const mail = (await a.store.mail(partitionOf(id), '', 100)).filter(({ from }) => from === id)
  expect(mail.map(({ version, commitId, event }) => [version, commitId, event])).toEqual(
    [2, 3].map((n) => [n, record.commitId, `{"type":"HI","n":${n}}`]),
  )
  const told = parseFeedMessage(listener.ofSession[0] ?? '')
  expect(told).toMatchObject({ kind: 'updated', baseVersion: 1, record })
  expect((await a.store.history(id, 9)).at(-1)).toEqual(told)
})

it('CM4 writers of long ago are forgotten at a glance too', async () => {
  const id = sid('forgetful')
  await b.write(b.creation(id))
  await a.write(marked(a, await known(id)))
  expect((await known(id)).writers).toContain(`;${b.store.node}:`)
  const found = await known(id)
  const aged = found.writers.replace(/(:\d+:\d+:\d+:)\d{13}:/, `$1${found.updatedAt - 700_000}:`)
  expect(aged).not.toBe(found.writers)
  await a.write(marked(a, { ...found, writers: aged }))
  expect((await known(id)).writers).not.toContain(`;${b.store.node}:`)
})
