/**
 * What `commit.lua` does, on records in memory: answers an entry and writes what it commits. `test/contract/` holds both together;
 * the comments there say why, and are not repeated here. There are no epoch floors: this server never takes back commits.
 */
import type { SessionUpdated } from '../actors/feed-message.ts'
import type { CommitEntry, EndEntry, StoreEntry, StoreOutcome } from '../actors/ports.ts'
import { ownersIn } from '../actors/runs.ts'
import { compareEpochs } from '../actors/session.ts'
import type { EndReason, Position, SessionId, SessionRecord } from '../actors/session.ts'
import { dueTimes } from '../actors/timers.ts'
import type { KeptRecord, MemoryServer, Tombstone, Writer } from './memory-server.ts'
import { KEY_TTL_MARGIN_MS, LEASE_MS, WRITER_MS } from './store-times.ts'

const TOMBSTONE_MS = 600_000
const RESERVATION_MS = 20

/** One call of a process: all its entries have the same time. */
export interface MemoryCall {
  readonly server: MemoryServer
  readonly node: string
  readonly commandKeyTtlMs: number
  readonly nowMs: number
}

/** What `commit.lua` answers to an entry, and does to the session. */
export function answer(call: MemoryCall, entry: StoreEntry): StoreOutcome {
  const { server, node, nowMs } = call
  let found = server.find(entry.id)
  if (entry.kind === 'end' && entry.reason === 'expired') return answerExpiry(call, entry, found)

  if (entry.kind !== 'check') {
    const mine = found?.writers.find((writer) => writer.node === node)
    if (mine?.number === entry.number) {
      const { epoch, firstVersion, version } = mine
      return { kind: 'duplicate', epoch, firstVersion, version, record: liveRecord(found, nowMs) }
    }
    if (mine !== undefined && mine.number > entry.number) return elsewhere(found, nowMs)
  }

  const begins = entry.kind === 'commit' && entry.base === null
  const isOver = found === null ? begins && hasVanished(server, entry.id) : liveRecord(found, nowMs) === null
  if (found?.kind !== 'tombstone' && isOver) {
    finish(call, entry.id, found, 'expired', `{"node":"${node}"}`, `${node}-x${nowMs * 1000}`, null)
    found = server.find(entry.id)
  }
  const record = liveRecord(found, nowMs)

  const hits = entry.keys.flatMap((key, index) => {
    const known = server.knownKey(entry.id, key)
    if (known === null) return []
    const { fingerprint, epoch, version } = known
    return [{ index, reused: fingerprint !== key.fingerprint, epoch, version }]
  })
  if (hits.length > 0) return { kind: 'known', hits, record }

  if (found?.kind !== 'record' || record === null) {
    if (begins) return write(call, entry, found)
    if (entry.kind === 'check' && found === null) server.clearDue('timer', entry.id)
    return elsewhere(found, nowMs)
  }
  const { base = null } = entry
  const isThere = base !== null && base.epoch === record.epoch && base.version === record.version
  if (entry.kind === 'end') {
    if (base !== null && !isThere) return { kind: 'stale', record }
    return finish(call, entry.id, found, entry.reason, entry.audit, `${node}-${entry.number}`, entry.number)
  }
  if (entry.kind === 'check') return isThere ? { kind: 'current' } : { kind: 'stale', record }
  if (base !== null) {
    if (record.machine === entry.machine && record.machineVersion > entry.machineVersion)
      return { kind: 'fenced', machineVersion: record.machineVersion }
    const { reservation } = found
    if (reservation !== null && reservation.node !== node && reservation.untilMs > nowMs)
      return { kind: 'wait', ms: reservation.untilMs - nowMs }
  }
  if (isThere) {
    if (entry.firesAt !== null && entry.firesAt > nowMs) return { kind: 'early', dueMs: entry.firesAt }
    return write(call, entry, found)
  }
  if (entry.reserve && base !== null)
    server.keep(entry.id, { ...found, reservation: { node, untilMs: nowMs + RESERVATION_MS } })
  return { kind: 'stale', record }
}

/** `null`: there is none, or its time is over. */
export function liveRecord(found: KeptRecord | Tombstone | null, nowMs: number): SessionRecord | null {
  if (found?.kind !== 'record') return null
  const { expiresAt, timers, runs } = found.record
  const isLive = expiresAt === null || timers !== '-' || runs !== '-' || expiresAt > nowMs
  return isLive ? found.record : null
}

/** Of a session that is not there: whether that is so without an end. */
function hasVanished(server: MemoryServer, id: SessionId): boolean {
  return server.dueAt('expiry', id) !== null
}

function elsewhere(found: KeptRecord | Tombstone | null, nowMs: number): StoreOutcome {
  const record = liveRecord(found, nowMs)
  if (record !== null) return { kind: 'stale', record }
  if (found?.kind === 'tombstone') return { kind: 'gone', reason: found.reason, position: found.position }
  return { kind: 'gone', reason: null, position: null }
}

function answerExpiry(
  call: MemoryCall,
  { id, number }: EndEntry,
  found: KeptRecord | Tombstone | null,
): StoreOutcome {
  const { server, node, nowMs } = call
  const record = liveRecord(found, nowMs)
  if (record !== null) {
    const dueMs = record.expiresAt
    if (dueMs === null) server.clearDue('expiry', id)
    else server.setDue({ kind: 'expiry', id, dueMs: dueMs > nowMs ? dueMs : nowMs + LEASE_MS })
    return { kind: 'early', dueMs }
  }
  if (found?.kind === 'tombstone') {
    server.clearDue('expiry', id)
    return elsewhere(found, nowMs)
  }
  if (found === null && !hasVanished(server, id)) return elsewhere(null, nowMs)
  return finish(call, id, found, 'expired', `{"node":"${node}"}`, `${node}-${number}`, null)
}

/** @param number of the commit, `null` if it is none of this process' own */
function finish(
  { server, node, nowMs }: MemoryCall,
  id: SessionId,
  found: KeptRecord | null,
  reason: EndReason,
  audit: string,
  commitId: string,
  number: number | null,
): StoreOutcome {
  // A vanished record has no version: 0 of a new epoch.
  const position: Position =
    found === null
      ? { epoch: String(nowMs * 1000), version: 0 }
      : { epoch: found.record.epoch, version: found.record.version + 1 }
  const { epoch, version } = position
  const writers = withMe(found, nowMs, { node, number, firstVersion: version, version, epoch })
  server.keep(id, { kind: 'tombstone', position, reason, writers, keptUntilMs: nowMs + TOMBSTONE_MS })
  server.clearDue('expiry', id)
  server.clearDue('timer', id)
  server.forgetHistory(id)
  holdLeases(server, node, nowMs, id, found?.record.runs ?? '-', '-')
  const machine = { machine: found?.record.machine ?? '', machineVersion: found?.record.machineVersion ?? 0 }
  server.outbox.push({
    id,
    ...position,
    commitId,
    previous: found?.record.commitId ?? null,
    time: nowMs,
    kind: reason,
    audit: JSON.stringify({ ...machine, ...(JSON.parse(audit) as object) }),
    state: '',
  })
  server.publish({ kind: 'ended', id, position, reason })
  const createdAt = found?.record.createdAt ?? nowMs
  return {
    kind: 'committed',
    epoch,
    firstVersion: version,
    version,
    time: nowMs,
    createdAt,
    expiresAt: null,
    timers: '-',
    writers: '-',
  }
}

function write(call: MemoryCall, entry: CommitEntry, found: KeptRecord | Tombstone | null): StoreOutcome {
  const { server, node, commandKeyTtlMs, nowMs } = call
  const { id, number, base, done, ttlMs, doneTtlMs, transitions, runs } = entry
  const before = found?.kind === 'record' ? found : null
  const epoch = before?.record.epoch ?? newEpoch(found, nowMs)
  const firstVersion = (base?.version ?? 0) + 1
  const version = firstVersion + transitions.length - 1
  const commitId = `${node}-${number}`
  const lifetimeMs = done ? doneTtlMs : ttlMs
  const timers = entry.timers.replace(/\+(\d+)/g, (_, delay: string) => String(nowMs + Number(delay)))
  const dues = dueTimes(timers)
  const [soonest] = dues
  const furthestMs = dues.at(-1)?.dueMs ?? 0
  const record: SessionRecord = {
    id,
    epoch,
    version,
    commitId,
    machine: entry.machine,
    machineVersion: entry.machineVersion,
    createdAt: before?.record.createdAt ?? nowMs,
    updatedAt: nowMs,
    expiresAt: lifetimeMs === null ? null : Math.max(nowMs + lifetimeMs, furthestMs),
    ttlMs,
    doneTtlMs,
    timers,
    runs,
    // It keeps them apart.
    writers: '-',
    state: transitions.at(-1)?.state ?? '',
    internals: entry.internals,
  }
  server.keep(id, {
    kind: 'record',
    record,
    done,
    reservation: null,
    writers: withMe(found, nowMs, { node, number, firstVersion, version, epoch }),
    keptUntilMs:
      lifetimeMs === null || soonest !== undefined || runs !== '-'
        ? null
        : nowMs + lifetimeMs + KEY_TTL_MARGIN_MS,
  })
  if (before === null) {
    server.forgetKeys(id)
    server.forgetHistory(id)
  }
  if (before?.done !== done) {
    if (record.expiresAt === null) server.clearDue('expiry', id)
    else server.setDue({ kind: 'expiry', id, dueMs: record.expiresAt })
  }
  if (soonest === undefined) server.clearDue('timer', id)
  else server.setDue({ kind: 'timer', id, dueMs: soonest.dueMs })
  holdLeases(server, node, nowMs, id, before?.record.runs ?? '-', runs)
  transitions.forEach(({ kind, audit, state, auditedState = state, key, mail }, index) => {
    const position = { epoch, version: firstVersion + index }
    const previous = before?.record.commitId ?? null
    server.outbox.push({ id, ...position, commitId, previous, time: nowMs, kind, audit, state: auditedState })
    if (key !== null) {
      const { fingerprint } = key
      server.rememberKey(id, key, { ...position, fingerprint, untilMs: nowMs + commandKeyTtlMs })
    }
    mail.forEach((each, number) => server.post({ ...each, from: id, ...position, commitId, index: number }))
  })
  const message: SessionUpdated = {
    kind: 'updated',
    id,
    node,
    baseVersion: base?.version ?? 0,
    record,
    events: entry.events,
    emitted: entry.emitted.map(({ transition, event }) => ({ version: firstVersion + transition, event })),
  }
  server.publish(message)
  if (entry.history > 0) server.remember(message, entry.history)
  const { createdAt, expiresAt } = record
  return {
    kind: 'committed',
    epoch,
    firstVersion,
    version,
    time: nowMs,
    createdAt,
    expiresAt,
    timers,
    writers: '-',
  }
}

/** Newer than the life before, if there was one. */
function newEpoch(found: Tombstone | KeptRecord | null, nowMs: number): string {
  const now = String(nowMs * 1000)
  if (found?.kind !== 'tombstone' || compareEpochs(found.position.epoch, now) < 0) return now
  return String(Number(found.position.epoch) + 1)
}

function withMe(
  found: KeptRecord | Tombstone | null,
  nowMs: number,
  { number, ...me }: Omit<Writer, 'number' | 'time'> & { readonly number: number | null },
): Writer[] {
  const others = (found?.writers ?? []).filter(
    ({ node, time }) => (node !== me.node || number === null) && time + WRITER_MS >= nowMs,
  )
  return number === null ? others : [{ ...me, number, time: nowMs }, ...others]
}

function holdLeases(
  server: MemoryServer,
  self: string,
  nowMs: number,
  id: SessionId,
  before: string,
  after: string,
): void {
  if (before === after) return
  const held = new Set(ownersIn(after).map(({ node }) => node))
  for (const node of held) {
    const known = server.dueAt('lease', id, node)
    if (known === null || (node === self && known < nowMs + LEASE_MS))
      server.setDue({ kind: 'lease', id, node, dueMs: nowMs + LEASE_MS })
  }
  for (const { node } of ownersIn(before)) if (!held.has(node)) server.clearDue('lease', id, node)
}
