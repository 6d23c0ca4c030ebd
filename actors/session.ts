/**
 * The words that all rooms share: ids, positions, the session record.
 *
 * A record carries its state as JSON text. It is encoded once, by the kernel of the process that commits, and from
 * then on copied: into Redis, the feed, the audit, and the frames of clients. Nobody on the way parses it.
 */

declare const brand: unique symbol

/** Id of a session: 1 to 128 characters, see {@link parseSessionId}. */
export type SessionId = string & { readonly [brand]: 'SessionId' }

/** Which life of an id this is: Redis time in microseconds when it began, as decimal text. */
export type Epoch = string

/** Where a session stands. Positions of one id are totally ordered: first by epoch, then by version. */
export interface Position {
  readonly epoch: Epoch
  readonly version: number
}

export type SessionStatus = 'active' | 'done' | 'error'

/** Why a session is no more. */
export type EndReason = 'deleted' | 'expired' | 'lost'

/** Why a subscription is over: the session is no more, or its subscriber may no longer see it. */
export type SubscriptionEnd = EndReason | 'forbidden'

/** What Redis holds for a session. Times are milliseconds since 1970 on Redis' clock. */
export interface SessionRecord extends Position {
  readonly id: SessionId
  /** The commit that made this version: `<node>-<commit number>`. */
  readonly commitId: string
  readonly machine: string
  readonly machineVersion: number
  readonly createdAt: number
  readonly updatedAt: number
  /** When the session ends by itself; `null`: never. */
  readonly expiresAt: number | null
  /** Lifetime without a commit while active, and once the machine has ended; `null`: unlimited. */
  readonly ttlMs: number | null
  readonly doneTtlMs: number | null
  /** When its timers are due, see `encodeTimers`; `-`: it has none. */
  readonly timers: string
  /** Which process runs which of its promise actors, see `encodeRuns`; `-`: it has none. */
  readonly runs: string
  /** Which process has written it lately, and what; `-`: nobody that it knows of. Only the store reads it. */
  readonly writers: string
  /** JSON text of the public part: `{"status","value","context","tags","accepts","output"?}`. */
  readonly state: string
  /** JSON text of what else the machine needs to go on (history, children): never shown to clients. */
  readonly internals: string
}

/** The public part of a record, parsed. */
export interface PublicState {
  readonly status: SessionStatus
  readonly value: unknown
  readonly context: unknown
  readonly tags: readonly string[]
  readonly accepts: readonly string[]
  readonly output?: unknown
}

/** Whether the session has not ended: a record's state begins with its status. */
export function isActive({ state }: Pick<SessionRecord, 'state'>): boolean {
  return state.startsWith('{"status":"active"')
}

const ID = /^[A-Za-z0-9][A-Za-z0-9_.:@~-]{0,127}$/

/** What a session id looks like, for schemas and messages. */
export const sessionIdPattern = ID.source

/** The text as an id, or `null` if it is not one. */
export function parseSessionId(text: string): SessionId | null {
  return ID.test(text) ? (text as SessionId) : null
}

/** Negative if `a` is older than `b`, 0 if equal, positive if newer. */
export function comparePositions(a: Position, b: Position): number {
  return compareEpochs(a.epoch, b.epoch) || a.version - b.version
}

/** Epochs are decimal numbers without leading zeros: the longer is the greater. */
export function compareEpochs(a: Epoch, b: Epoch): number {
  if (a === b) return 0
  if (a.length !== b.length) return a.length - b.length
  return a < b ? -1 : 1
}
