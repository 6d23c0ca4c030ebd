/** What the main thread of the audit and its pool say to each other. */
import type { DrainResult } from './drain.ts'

/** Passes over different groups in one thread: while one waits for a server, the other is prepared. */
export const TASKS_PER_THREAD = 2

/** Given to each thread as it starts. */
export interface ThreadData {
  readonly redisUrl: string
  readonly databaseUrl: string
  readonly prefix: string
  /** How long PostgreSQL may leave a statement unanswered, and Redis may take to come back, in ms. */
  readonly answerMs: number
  /** URL of a module that exports `faultPoint`, see fault-points.ts. */
  readonly faultModule?: string | undefined
}

export interface Task {
  /** See groups.ts. */
  readonly group: number
  /** Rows of a statement, and entries of a partition, at most. */
  readonly batch: number
}

export type TaskOutcome =
  | ({ readonly kind: 'done' } & DrainResult)
  /** Redis or PostgreSQL cannot work now; nothing is lost by waiting. */
  | { readonly kind: 'away'; readonly server: 'Redis' | 'PostgreSQL'; readonly reason: string }
  /** PostgreSQL refuses the statement as a whole. */
  | { readonly kind: 'refused'; readonly reason: string; readonly code: string | null }
