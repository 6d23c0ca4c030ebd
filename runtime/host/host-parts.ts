import type { Clock, Logger, SessionStore, UpdateSink } from '../../actors/ports.ts'
import type { Live } from '../../actors/plan.ts'
import type { Position, SessionId, SessionRecord } from '../../actors/session.ts'
import type { Committer } from './committer.ts'
import type { Permissions } from './permissions.ts'
import type { Versions } from './versions.ts'
import type { WarmSessions } from './warm-sessions.ts'

export interface HostLimits {
  /** Bytes of a session's record (JSON text, in UTF-16 units). */
  readonly maxSessionBytes: number
  /** Bytes of an event, input or broadcast. */
  readonly maxEventBytes: number
}

/** What the turns of a mailbox work with. */
export interface HostParts {
  readonly store: SessionStore
  readonly committer: Committer
  readonly versions: Versions
  readonly permissions: Permissions
  readonly warm: WarmSessions
  readonly sink: UpdateSink
  readonly clock: Clock
  readonly log: Logger
  /** A function of a definition's `audit` has failed; may be called for each transition. */
  readonly warnOfRedaction: (details: object, message: string) => void
  readonly limits: HostLimits
  /** The next commit number of this process. */
  nextNumber(): number
  /** A commit of this process has left timers armed. */
  onTimers(record: SessionRecord): void
  /**
   * A commit of this process may have changed which promise actors it runs of a session.
   * @param live the session after it
   * @param before who ran what before it
   * @param isNewest nobody can have committed since
   */
  onRuns(record: SessionRecord, live: Live | null, before: string, isNewest: boolean): void
  /** The session has ended at this position: nothing of it is to be run here. */
  onEnded(id: SessionId, at: Position): void
  /** A commit of this process has sent events to other sessions. */
  onMail(from: SessionId): void
  /** Something of this session was written to its outbox. */
  onCommitted(id: SessionId): void
}
