/**
 * Presence: who is subscribed to a session, on all processes together. A member is one connection of a client.
 *
 * Each process enters its own members in the store and renews its lease on them; whoever finds that a lease is over
 * removes the members of that process. Every change of a session's list has a number, so that one that was missed is noticed.
 */
import type { SessionId } from './session.ts'

/** How long the members of a process stay that does not renew its lease any more. */
export const PRESENCE_LEASE_MS = 10_000
/** How often it does. A process that died is told to have left within both together. */
export const PRESENCE_BEAT_MS = 3000

/** One connection of a client, as the others see it. */
export interface PresenceMember {
  /** Of the connection, for as long as it lasts: letters and digits. */
  readonly client: string
  /** Id of its principal; `null`: nobody in particular. */
  readonly principal: string | null
  /** What the definition's `presence` function returns. */
  readonly info?: unknown
}

/** What of one session a process tells the store. */
export interface PresenceEntry {
  readonly id: SessionId
  /** JSON texts of members that it has since it told last, by their clients. */
  readonly joined: ReadonlyMap<string, string>
  /** Clients that it has no more. */
  readonly left: readonly string[]
  /** `joined` are all that it has: others of this process are removed. */
  readonly isWhole: boolean
  /** How many it has after this. */
  readonly count: number
  /** Whether the answer must hold all members, of all processes. */
  readonly wantsRoster: boolean
}

export interface PresenceAnswer {
  /** Number of the last change of the session's list; 0: there is no list. It goes on when a list was lost or had become empty. */
  readonly number: number
  /** Whether the store holds as many members of this process as it has; if not they must be told anew. */
  readonly isComplete: boolean
  /** JSON texts of all members; empty if nobody asked. */
  readonly roster: readonly string[]
}

/** The part of the store port that presence needs. */
export interface PresenceStore {
  /**
   * Tells what has changed of some sessions of one partition, no session twice, and renews this process' lease on them; asked again it
   * does the same. What changes is published to all processes that listen to the session.
   * @throws StoreFailure
   */
  tellPresence(partition: number, entries: readonly PresenceEntry[]): Promise<PresenceAnswer[]>
}
