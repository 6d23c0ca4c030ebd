/** The turns that begin and end a session. */
import { TroupeError } from '../../actors/errors.ts'
import type { Plan } from '../../actors/plan.ts'
import type { CommitEntry, EndEntry, StoreOutcome } from '../../actors/ports.ts'
import { encodeRuns } from '../../actors/runs.ts'
import { encodeTimers } from '../../actors/timers.ts'
import type { Position, SessionId, SessionRecord } from '../../actors/session.ts'
import { afterCommit, committedRecord, newestAfter } from './after-commit.ts'
import { auditOfCreation, auditOfDeletion } from './audit-text.ts'
import type { HostParts } from './host-parts.ts'
import { notFound, notSeen, unexpected } from './outcome-errors.ts'
import type { CreateItem, DeleteItem } from './requests.ts'
import { Patience } from './patience.ts'
import { checkSize } from './session-size.ts'

/** Creates a session, or finds that it exists. Settles the item. @throws TroupeError, StoreFailure */
export async function takeCreateTurn(parts: HostParts, id: SessionId, item: CreateItem): Promise<void> {
  const plan = item.kernel.initial(item.input)
  checkSize(parts, plan)
  const entry = creationEntry(parts, id, item, plan)
  const outcome = await parts.committer.submit(entry)
  switch (outcome.kind) {
    case 'committed':
    case 'duplicate': {
      const record = createdRecord(parts, entry, plan, outcome)
      afterCommit(parts, outcome, {
        entry,
        runsBefore: '-',
        record,
        live: plan.live,
        effects: plan.effects,
        origins: new Set(item.caller.origin === null ? [] : [item.caller.origin]),
        answer: () => item.resolve({ created: true, record: newestAfter(outcome, record) }),
      })
      return
    }
    case 'known': {
      if (outcome.hits.some(({ reused }) => reused)) {
        throw new TroupeError(
          'key_reused',
          `key ${JSON.stringify(item.keyText)} was used for another request`,
        )
      }
      if (outcome.record === null) throw notFound(id, 'it has ended since it was created with this key')
      const unseen = notSeen(parts, outcome.record, item, 'get', { created: true, id })
      if (unseen !== null) throw unseen
      item.resolve({ created: true, record: outcome.record })
      return
    }
    case 'stale': {
      const { record } = outcome
      if (item.ifExists === 'error') {
        throw new TroupeError('session_exists', `there is a session "${id}" already`, {
          details: { epoch: record.epoch, version: record.version },
        })
      }
      if (record.machine !== item.kernel.definition.name) {
        throw new TroupeError('session_exists', `session "${id}" exists, as a "${record.machine}"`)
      }
      parts.permissions.check(record, item.caller, 'get')
      item.resolve({ created: false, record })
      return
    }
    default:
      throw unexpected(id, outcome)
  }
}

/** Ends a session. Settles the item. @throws TroupeError `forbidden`, StoreFailure */
export async function takeDeleteTurn(parts: HostParts, id: SessionId, item: DeleteItem): Promise<void> {
  const audit = auditOfDeletion({ node: parts.store.node, principal: item.caller.principal })
  const patience = new Patience(parts.clock)
  let base = await permittedEnd(parts, id, item, null)
  for (;;) {
    const outcome = await parts.committer.submit(endEntry(parts, id, 'deleted', audit, base))
    parts.warm.delete(id)
    switch (outcome.kind) {
      case 'committed':
      case 'duplicate': {
        tellEnd(
          parts,
          id,
          outcome,
          'deleted',
          new Set(item.caller.origin === null ? [] : [item.caller.origin]),
        )
        item.resolve(true)
        parts.onCommitted(id)
        return
      }
      case 'gone':
        item.resolve(false)
        return
      case 'stale':
        // It has gone on since it was permitted: is it still?
        if (base === null) throw unexpected(id, outcome)
        patience.lose()
        base = await permittedEnd(parts, id, item, outcome.record)
        break
      default:
        throw unexpected(id, outcome)
    }
  }
}

/** @returns where the session may be ended; `null`: wherever it is. @throws TroupeError `forbidden` */
async function permittedEnd(
  { permissions, store }: HostParts,
  id: SessionId,
  { caller }: DeleteItem,
  known: SessionRecord | null,
): Promise<Position | null> {
  if (!permissions.asks(caller)) return null
  const record = known ?? (await store.read(id))
  if (record === null) return null
  permissions.check(record, caller, 'delete')
  return { epoch: record.epoch, version: record.version }
}

/** Ends a session whose time is over; nothing happens if it is not, or has ended. @throws StoreFailure */
export async function endExpired(parts: HostParts, id: SessionId): Promise<void> {
  const outcome = await parts.committer.submit(endEntry(parts, id, 'expired', '', null))
  if (outcome.kind !== 'committed') return
  parts.warm.delete(id)
  tellEnd(parts, id, outcome, 'expired', new Set())
  parts.onCommitted(id)
}

function endEntry(
  parts: HostParts,
  id: SessionId,
  reason: EndEntry['reason'],
  audit: string,
  base: Position | null,
): EndEntry {
  return { kind: 'end', id, keys: [], reserve: false, number: parts.nextNumber(), base, reason, audit }
}

function tellEnd(
  parts: HostParts,
  id: SessionId,
  { epoch, version }: Position,
  reason: EndEntry['reason'],
  origins: ReadonlySet<object>,
): void {
  parts.sink.publish({ kind: 'ended', id, position: { epoch, version }, reason }, origins)
  parts.onEnded(id, { epoch, version })
}

function creationEntry(parts: HostParts, id: SessionId, item: CreateItem, plan: Plan): CommitEntry {
  const { definition } = item.kernel
  const { name, version, history = 0 } = definition
  const { node } = parts.store
  const { principal } = item.caller
  const about = { definition, node, principal, key: item.keyText, warn: parts.warnOfRedaction }
  return {
    kind: 'commit',
    id,
    keys: item.key === null ? [] : [item.key],
    reserve: false,
    number: parts.nextNumber(),
    base: null,
    machine: name,
    machineVersion: version,
    ttlMs: item.ttlMs,
    doneTtlMs: item.doneTtlMs,
    done: plan.status !== 'active',
    transitions: [
      {
        kind: 'created',
        ...auditOfCreation(about, item.input, plan),
        key: item.key,
        mail: plan.mail,
      },
    ],
    internals: plan.internals,
    timers: encodeTimers(plan.live.timers, '-'),
    runs: encodeRuns(plan.live.runs, '-', node),
    firesAt: null,
    events: '[]',
    emitted: plan.emitted.map((event) => ({ transition: 0, event })),
    history,
  }
}

function createdRecord(
  parts: HostParts,
  entry: CommitEntry,
  plan: Plan,
  outcome: Extract<StoreOutcome, { kind: 'committed' | 'duplicate' }>,
): SessionRecord {
  const { id, machine, machineVersion, done, ttlMs, doneTtlMs } = entry
  // An epoch is the microsecond in which the session was created.
  const time = outcome.kind === 'committed' ? outcome.createdAt : Math.floor(Number(outcome.epoch) / 1000)
  const lifetimeMs = done ? doneTtlMs : ttlMs
  const expiresAt = lifetimeMs === null ? null : time + lifetimeMs
  const about = { id, machine, machineVersion, createdAt: time, updatedAt: time, expiresAt, ttlMs, doneTtlMs }
  const before = {
    ...about,
    epoch: outcome.epoch,
    version: 0,
    commitId: '',
    timers: '-',
    runs: '-',
    writers: '-',
    state: '',
    internals: '',
  }
  return committedRecord(parts, entry, before, plan, outcome)
}
