/**
 * The interfaces between the rooms. `persistence/` and `transport/` implement or use them and never meet;
 * `runtime/` puts them together.
 */
import type { Access } from './access.ts'
import type { FeedMessage, SessionUpdated } from './feed-message.ts'
import type { MailEntry, OutgoingMail } from './mail.ts'
import type { PresenceStore } from './presence.ts'
import type { Until } from './until.ts'
import type { Epoch, EndReason, Position, PublicState, SessionId, SessionRecord } from './session.ts'

/** Levels of pino's interface that the rooms use. */
export interface Logger {
  debug(details: object, message: string): void
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}

/** Time for waiting (not for stamps: those are Redis'). Tests give their own. */
export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number
  setTimeout(callback: () => void, ms: number): { cancel(): void }
}

/** Who a request comes from; `null`: nobody in particular. */
export interface Principal {
  readonly id: string
  readonly claims?: Readonly<Record<string, unknown>>
  /** The bounds of the token it came with; absent: it may do what definitions let it. */
  readonly access?: Access
}

/** A sender's idempotency key, digested: `digest` of principal and key, `fingerprint` of the event. */
export interface CommandKey {
  readonly digest: string
  readonly fingerprint: string
}

/** One step of a commit: makes one version, one outbox entry. */
export interface CommittedTransition {
  readonly kind: 'created' | 'event' | 'timer' | 'overdue' | 'result' | 'takeover' | 'mail' | 'migrated'
  /** JSON text for the audit, see docs/spec.md (kind, event, from, principal, node, key). */
  readonly audit: string
  /** JSON text of the public state after it. */
  readonly state: string
  /** The same as the audit gets it, where its definition keeps something of it out of there. */
  readonly auditedState?: string
  /** Remembered with the version that this transition makes. */
  readonly key: CommandKey | null
  readonly mail: readonly OutgoingMail[]
}

/** What a process asks of the store. Each entry is answered by itself. */
export type StoreEntry = CommitEntry | CheckEntry | EndEntry

interface EntryBase {
  readonly id: SessionId
  /** Command keys of all events in this turn, so that a repeated one is seen before its machine is asked again. */
  readonly keys: readonly CommandKey[]
  /** Ask for the next turn at this session, because others were faster twice. */
  readonly reserve: boolean
}

/** Write one or more consecutive transitions if the session is still at `base` (`null`: does not exist). */
export interface CommitEntry extends EntryBase {
  readonly kind: 'commit'
  /** Number of this commit among those of this process; the same number is never used for another. */
  readonly number: number
  readonly base: Position | null
  /** The whole record at `base` as the store gave it, where it is known: a store that finds it so need not look at more. */
  readonly found?: SessionRecord
  readonly machine: string
  readonly machineVersion: number
  /** The session's lifetimes, and which of both counts from now. */
  readonly ttlMs: number | null
  readonly doneTtlMs: number | null
  readonly done: boolean
  readonly transitions: readonly CommittedTransition[]
  readonly internals: string
  /** Which timers are armed after it, see `encodeTimers`. */
  readonly timers: string
  /** Which process runs which promise actors after it, see `encodeRuns`. */
  readonly runs: string
  /** The time of the timer that it fires: before, it is `early`. */
  readonly firesAt: number | null
  /** JSON text: types of the events, for the feed. */
  readonly events: string
  /** Emitted events with the index of their transition, for the feed. */
  readonly emitted: readonly { readonly transition: number; readonly event: string }[]
  /** How many commits, with this one, the session keeps for who comes back; 0: none. */
  readonly history: number
}

/** Write nothing; tell whether the session is still at `base` (`null`: tell what is there). */
export interface CheckEntry extends EntryBase {
  readonly kind: 'check'
  readonly base: Position | null
}

/** End a session as its next version: `deleted` at any position, or only at `base`; `expired` only past its `expiresAt`. */
export interface EndEntry extends EntryBase {
  readonly kind: 'end'
  readonly number: number
  /** Absent or `null`: wherever it is. */
  readonly base?: Position | null
  readonly reason: 'deleted' | 'expired'
  /** JSON text of an object for the audit; the store adds which machine it was, which it knows best. */
  readonly audit: string
}

export type StoreOutcome =
  /** Written: versions `firstVersion` to `version`. */
  | {
      readonly kind: 'committed'
      readonly epoch: Epoch
      readonly firstVersion: number
      readonly version: number
      readonly time: number
      readonly createdAt: number
      readonly expiresAt: number | null
      /** With the times that the commit decided on. */
      readonly timers: string
      /** As the record has them now. */
      readonly writers: string
    }
  /** This commit number was taken before; these are its versions. */
  | {
      readonly kind: 'duplicate'
      readonly epoch: Epoch
      readonly firstVersion: number
      readonly version: number
      readonly record: SessionRecord | null
    }
  /** Command keys are known already, nothing was written. `index` counts in the entry's `keys`. */
  | {
      readonly kind: 'known'
      readonly hits: readonly {
        readonly index: number
        readonly reused: boolean
        readonly epoch: Epoch
        readonly version: number
      }[]
      readonly record: SessionRecord | null
    }
  /** A check: the session is still at `base`. */
  | { readonly kind: 'current' }
  /** The session is elsewhere; here is what it is now. */
  | { readonly kind: 'stale'; readonly record: SessionRecord }
  /** There is no such session; `reason` and `position` where a tombstone tells. */
  | { readonly kind: 'gone'; readonly reason: EndReason | null; readonly position: Position | null }
  /** A newer version of the definition has taken the session over. */
  | { readonly kind: 'fenced'; readonly machineVersion: number }
  /** Another process has the turn. */
  | { readonly kind: 'wait'; readonly ms: number }
  /** Nothing was written, and why. `retryable`: the server refuses writes for now (memory full, read-only). */
  | { readonly kind: 'refused'; readonly retryable: boolean; readonly message: string }
  /** An expiry or a timer came before its time, which is this (`null`: never). */
  | { readonly kind: 'early'; readonly dueMs: number | null }

/** How entries failed when not even one outcome could be had. */
export class StoreFailure extends Error {
  /**
   * `not-applied`: surely nothing was written. `unknown`: the reply was lost; ask again with the same numbers.
   * `failed`: it is not known what was written, and asking again would not tell.
   */
  readonly effect: 'not-applied' | 'unknown' | 'failed'
  constructor(effect: StoreFailure['effect'], message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'StoreFailure'
    this.effect = effect
  }
}

/** A session's expiry, its next timer, or the end of the lease by which a process runs its promise actors. */
export type Due =
  | { readonly kind: 'expiry' | 'timer'; readonly id: SessionId; readonly dueMs: number }
  | { readonly kind: 'lease'; readonly id: SessionId; readonly node: string; readonly dueMs: number }

/** A time in which no process looked after a partition: both in ms since 1970, by the store's clock. */
export interface Downtime {
  readonly fromMs: number
  readonly toMs: number
}

/** What a look at a partition finds. */
export interface Look {
  readonly due: readonly Due[]
  /** Mail waits there for longer than its sender's process needs. */
  readonly hasMail: boolean
  /** The last downtime of the partition. */
  readonly downtime: Downtime | null
}

/** Versions of the definitions that a process serves, by their names. */
export type ServedVersions = Readonly<Record<string, readonly number[]>>

export interface SessionStore extends PresenceStore {
  /** Id of this process among the writers. */
  readonly node: string
  /**
   * Answers each entry by itself; one round trip (in a cluster: one per partition).
   * @throws StoreFailure
   */
  execute(entries: readonly StoreEntry[]): Promise<StoreOutcome[]>
  /** One read; `null`: no such session, or expired. @throws StoreFailure */
  read(id: SessionId): Promise<SessionRecord | null>
  /** The last commits, `count` at most, of a session whose definition keeps some, oldest first. @throws StoreFailure */
  history(id: SessionId, count: number): Promise<SessionUpdated[]>
  /** Where sessions stand now, ended ones where they ended; `null`: nothing is known. One round trip. @throws StoreFailure */
  positions(ids: readonly SessionId[]): Promise<(Position | null)[]>
  /** Publishes to all subscribers of the session on all processes; at most once. @throws StoreFailure */
  broadcast(id: SessionId, message: string): Promise<void>
  /**
   * What of this partition is due within `horizonMs`, soonest first, without the first `skip`; nothing while another process looks
   * after it.
   * @throws StoreFailure
   */
  look(partition: number, horizonMs: number, limit: number, skip?: number): Promise<Look>
  /** Mail of the sessions of one partition, in the order in which it was sent, behind `afterId` (`''`: from the oldest). @throws StoreFailure */
  mail(partition: number, afterId: string, limit: number): Promise<MailEntry[]>
  /** Which of these entries of a partition are still there, in their order. @throws StoreFailure */
  hasMail(partition: number, entryIds: readonly string[]): Promise<boolean[]>
  /** Deletes exactly these. @throws StoreFailure */
  deleteMail(partition: number, entries: readonly MailEntry[]): Promise<void>
  /**
   * Renews this process' leases on the promise actors of sessions of one partition, for `leaseMs` from now.
   * @returns the sessions that it has none on any more. @throws StoreFailure
   */
  renew(partition: number, ids: readonly SessionId[], leaseMs: number): Promise<SessionId[]>
  /**
   * Tells the other processes what this one serves; `null`: nothing any more.
   * @returns what each of the others has told within the last 15 s. @throws StoreFailure
   */
  announce(served: ServedVersions | null): Promise<ServedVersions[]>
  /** A lower bound of the store's clock, in ms since 1970. */
  now(): number
}

/** Channels of sessions, as one process hears them. */
export interface Feed {
  /** Resolves once messages of this session surely arrive. @throws StoreFailure */
  subscribe(id: SessionId): Promise<void>
  unsubscribe(id: SessionId): void
  /** Hear of every session (`onUpdate`). @throws StoreFailure */
  subscribeAll(): Promise<void>
  /** Set once, before the first subscription. */
  onMessage: (message: FeedMessage) => void
  /** Messages may have been missed: all subscribed sessions must be read again. Called once it works again. */
  onInterrupted: () => void
}

/** Where the committing process hands its own updates, for its own subscribers. */
export interface UpdateSink {
  /** `origins`: connections whose reply carries this update, so that they do not get it a second time. */
  publish(message: FeedMessage, origins: ReadonlySet<object>): void
}

/** Who calls: the principal, and the connection (any object) that will carry the reply. */
export interface Caller {
  readonly principal: Principal | null
  readonly origin: object | null
  /** Code of this process that calls for itself: no definition is asked whether it may. */
  readonly isTrusted?: true
}

export interface CreateRequest {
  readonly machine: string
  readonly id?: string | undefined
  readonly input?: unknown
  readonly key?: string | undefined
  readonly ifExists?: 'error' | 'return' | undefined
  readonly ttlMs?: number | null | undefined
}

export interface UpdateRequest {
  readonly id: SessionId
  readonly event: { readonly type: string; readonly [member: string]: unknown }
  readonly key?: string | undefined
  readonly ifVersion?: number | Position | undefined
}

export interface UpdateResult {
  readonly outcome: 'committed' | 'unchanged' | 'duplicate'
  /** The version that this very event made; absent when `unchanged`. */
  readonly applied?: number
  /** The newest state known, at or after `applied`. */
  readonly record: SessionRecord
}

/**
 * The five operations. Each rejects with a TroupeError. Calls for one session take effect in the order made, except
 * that `get` and `broadcast` do not wait for updates under way: whoever promises that order waits for them first.
 */
export interface SessionService {
  create(request: CreateRequest, caller: Caller): Promise<{ created: boolean; record: SessionRecord }>
  get(id: SessionId, caller: Caller): Promise<SessionRecord | null>
  update(request: UpdateRequest, caller: Caller): Promise<UpdateResult>
  delete(id: SessionId, caller: Caller): Promise<boolean>
  broadcast(id: SessionId, message: unknown, caller: Caller): Promise<void>
  /** JSON text of the view of a record as this principal may see it. @throws TroupeError */
  encodeView(record: SessionRecord, principal: Principal | null): string
  /** The public state of a record, as its view shows it. @throws TroupeError */
  stateOf(record: SessionRecord): PublicState
  /** Refuses what a session of this machine cannot come to. @throws TroupeError `invalid_params` */
  checkUntil(record: SessionRecord, until: Until): void
}
