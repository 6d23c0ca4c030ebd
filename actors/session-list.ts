/** Lists of sessions: what is asked, and what is told. They are kept beside the audit, and may be behind what Redis holds. */
import type { SessionId, SessionStatus } from './session.ts'

/** `deleted`, `expired`: sessions that are no more. */
export type ListedStatus = SessionStatus | 'deleted' | 'expired'

export interface ListRequest {
  /** Name of a definition. */
  readonly machine?: string | undefined
  /** A state that it is in, by the path of its keys: `paying`, `paying.card`; of parallel states one is enough. */
  readonly state?: string | undefined
  readonly tag?: string | undefined
  /** Default: all but those that are no more. */
  readonly status?: ListedStatus | undefined
  /** Only those with a transition since then, in ms since 1970. */
  readonly since?: number | undefined
  /** `nextCursor` of the page before. */
  readonly cursor?: string | undefined
  /** Sessions of one page, at most. */
  readonly limit?: number | undefined
}

/** A session as it was at the newest transition that the list knows. Its context is for `getSession`, which asks the view. */
export interface ListedSession {
  readonly id: SessionId
  readonly machine: string
  readonly machineVersion: number
  readonly epoch: string
  readonly version: number
  readonly status: ListedStatus
  /** `null`: forgotten. */
  readonly value: unknown
  readonly tags: readonly string[]
  /** Ms since 1970; `null`: not known. */
  readonly createdAt: number | null
  readonly updatedAt: number
}

export interface SessionPage {
  /** Those created last first. May be fewer than `limit`, though there are more. */
  readonly sessions: readonly ListedSession[]
  /** For the next page; `null`: there is none. */
  readonly nextCursor: string | null
  /**
   * How far the list may be behind, in ms: the age of the oldest transition that is still on its way to it; 0: nothing is. `null`:
   * Redis could not be asked.
   */
  readonly lagMs: number | null
  /** All transitions up to this time are in the list, in ms since 1970, by Redis' clock; `null` as `lagMs`. */
  readonly asOf: number | null
}

/** Sessions of a page where the request does not say, and at most. */
export const DEFAULT_PAGE = 100
export const LONGEST_PAGE = 500
