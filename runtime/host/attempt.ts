/** A turn's events applied to one state of the session: computed, not yet proven, and as the store is to get it. */
import { sessionOf } from '../../actors/authorization.ts'
import { TroupeError } from '../../actors/errors.ts'
import type { Kernel } from '../../actors/kernel.ts'
import type { Live, Plan } from '../../actors/plan.ts'
import type { CommandKey, StoreEntry } from '../../actors/ports.ts'
import { isActive } from '../../actors/session.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { encodeRuns } from '../../actors/runs.ts'
import { encodeTimers } from '../../actors/timers.ts'
import { auditOfEvent } from './audit-text.ts'
import type { HostParts } from './host-parts.ts'
import type { UpdateItem } from './requests.ts'
import { checkSize } from './session-size.ts'
import type { WarmSession } from './warm-sessions.ts'

/** What became of one event, as computed and not yet proven. */
export type Verdict =
  | { readonly kind: 'plan'; readonly plan: Plan; readonly event: string }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'refused'; readonly error: unknown }

/** One pass of the items over one state of the session. */
export interface Attempt {
  readonly base: SessionRecord
  readonly verdicts: readonly Verdict[]
  /** The plans among the verdicts, in order. */
  readonly steps: readonly { readonly item: UpdateItem; readonly plan: Plan; readonly event: string }[]
  /** What the session has become by them. */
  readonly live: Live | null
}

/** What one commit carries at most, give or take one event; the others follow in a commit of their own. */
const MAX_BYTES = 256 * 1024

/** Applies the items one after another; `verdicts` covers the first of them, as many as fit into one commit. */
export function compute(parts: HostParts, known: WarmSession, items: readonly UpdateItem[]): Attempt {
  const { record } = known
  let kernel: Kernel | null = null
  let live: Live
  try {
    kernel = parts.versions.kernelOf(record)
    live = known.live ?? kernel.restore(record)
  } catch (cause) {
    const error = isActive(record)
      ? cause
      : new TroupeError('session_ended', 'the session has ended and takes no more events')
    return {
      base: record,
      verdicts: items.map((item) => ({
        kind: 'refused',
        error: refusalBefore(error, parts, kernel, item, record),
      })),
      steps: [],
      live: null,
    }
  }
  // Actors move on in place: they are kept again when it is proven that the store has followed.
  known.live = live.root === null ? live : null
  const steps: { item: UpdateItem; plan: Plan; event: string }[] = []
  let bytes = 0
  const { authorize } = kernel.definition
  const decide = (item: UpdateItem): Verdict => {
    let isMoved = false
    try {
      const version = record.version + steps.length
      // What a rule forbids must not even tell the version.
      if (authorize === undefined) checkVersion(item, record, version)
      const admitted = kernel.admit(item.request.event)
      if (authorize !== undefined) {
        const session = sessionOf(record, version, steps.at(-1)?.plan.state ?? record.state)
        parts.permissions.checkUpdate(kernel, item.caller, record.id, admitted, session)
        checkVersion(item, record, version)
      }
      isMoved = live.root !== null
      const plan = kernel.transition(live, admitted)
      if (plan === null) return { kind: 'unchanged' }
      const size = checkSize(parts, plan)
      const event = admitted === item.request.event ? item.event : JSON.stringify(admitted)
      live = plan.live
      bytes += size + event.length
      steps.push({ item, plan, event })
      return { kind: 'plan', plan, event }
    } catch (error) {
      const last = steps.at(-1)?.plan ?? record
      if (isMoved) live = kernel.restore({ ...record, state: last.state, internals: last.internals })
      return { kind: 'refused', error }
    }
  }
  const verdicts: Verdict[] = []
  for (const item of items) {
    verdicts.push(decide(item))
    if (bytes > MAX_BYTES) break
  }
  return { base: record, verdicts, steps, live }
}

/** Why an event cannot be applied is only for those who may send it. */
function refusalBefore(
  error: unknown,
  { permissions }: HostParts,
  kernel: Kernel | null,
  { caller, request }: UpdateItem,
  record: SessionRecord,
): unknown {
  if (kernel === null) return error
  try {
    const session = sessionOf(record, record.version, record.state)
    permissions.checkUpdate(kernel, caller, record.id, request.event, session)
    return error
  } catch (forbidden) {
    return forbidden
  }
}

/** @throws TroupeError `version_conflict` */
function checkVersion({ request: { ifVersion } }: UpdateItem, base: SessionRecord, version: number): void {
  if (ifVersion === undefined) return
  const wanted = typeof ifVersion === 'number' ? { epoch: base.epoch, version: ifVersion } : ifVersion
  if (wanted.epoch === base.epoch && wanted.version === version) return
  throw new TroupeError('version_conflict', `the session is at version ${version} of epoch ${base.epoch}`, {
    details: { epoch: base.epoch, version },
  })
}

/** What is to be committed of an attempt; a check where nothing is, so that the answers rest on what is there. */
export function updateEntry(
  parts: HostParts,
  id: SessionId,
  attempt: Attempt | null,
  items: readonly UpdateItem[],
  reserve: boolean,
): StoreEntry {
  const keys = items.map(({ key }) => key).filter((key): key is CommandKey => key !== null)
  const last = attempt?.steps.at(-1)
  if (attempt === null || last === undefined)
    return { kind: 'check', id, keys, reserve, base: attempt?.base ?? null }
  const { base, steps } = attempt
  const { definition } = parts.versions.kernelOf(base)
  const { store, warnOfRedaction: warn } = parts
  return {
    kind: 'commit',
    id,
    keys,
    reserve,
    number: parts.nextNumber(),
    base,
    found: base,
    machine: base.machine,
    machineVersion: base.machineVersion,
    ttlMs: base.ttlMs,
    doneTtlMs: base.doneTtlMs,
    done: last.plan.status !== 'active',
    transitions: steps.map(({ item, plan, event }) => ({
      kind: 'event',
      ...auditOfEvent(
        { definition, node: store.node, principal: item.caller.principal, key: item.request.key, warn },
        event,
        plan,
      ),
      key: item.key,
      mail: plan.mail,
    })),
    internals: last.plan.internals,
    timers: encodeTimers(last.plan.live.timers, base.timers),
    runs: encodeRuns(last.plan.live.runs, base.runs, parts.store.node),
    firesAt: null,
    events: typesOf(attempt),
    emitted: emittedBy(attempt),
    history: parts.versions.historyOf(base),
  }
}

function typesOf({ steps }: Attempt): string {
  return JSON.stringify(steps.map(({ item }) => item.request.event.type))
}

function emittedBy({ steps }: Attempt): { transition: number; event: string }[] {
  return steps.flatMap(({ plan }, transition) => plan.emitted.map((event) => ({ transition, event })))
}
