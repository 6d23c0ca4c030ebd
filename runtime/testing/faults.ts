/** Where a test may have something go wrong: at the next commit of a session. */
import { TroupeError } from '../../actors/errors.ts'
import { parseSessionId } from '../../actors/session.ts'

export type FaultPoint =
  'crashBeforeCommit' | 'crashAfterCommit' | 'loseReply' | 'duplicateCommit' | 'duplicateEvent'

/** One fault of a session that was asked for and has not happened yet. */
export interface PendingFault {
  readonly id: string
  readonly point: FaultPoint
}

/** Each happens once, at the next commit of the session (an event, a timer, a result, …), in the order asked for. */
export class Faults {
  #pending: PendingFault[] = []

  /** What was asked for and has not happened: look at it at the end of a test, which has not tested what it was to test. */
  get pending(): readonly PendingFault[] {
    return this.#pending
  }

  /** The process dies before it can commit: its event, timer or result is lost with it. */
  crashBeforeCommit(id: string): void {
    this.#ask(id, 'crashBeforeCommit')
  }

  /** The process dies after the commit, before it answers, acts, or starts what the commit asked for. */
  crashAfterCommit(id: string): void {
    this.#ask(id, 'crashAfterCommit')
  }

  /** The commit is made and its reply is lost: the process asks again with the same commit number. */
  loseReply(id: string): void {
    this.#ask(id, 'loseReply')
  }

  /** The commit arrives twice, as when a client library sends it again on a new connection. */
  duplicateCommit(id: string): void {
    this.#ask(id, 'duplicateCommit')
  }

  /** The next `updateSession` is sent to two processes at once, with the same key. */
  duplicateEvent(id: string): void {
    this.#ask(id, 'duplicateEvent')
  }

  /** Takes one of these points that is asked for next for the session. */
  take(id: string, points: readonly FaultPoint[]): FaultPoint | null {
    const index = this.#pending.findIndex((one) => one.id === id && points.includes(one.point))
    const [taken] = index < 0 ? [] : this.#pending.splice(index, 1)
    return taken?.point ?? null
  }

  #ask(id: string, point: FaultPoint): void {
    if (parseSessionId(id) === null)
      throw new TroupeError('invalid_params', `${JSON.stringify(id)} is not a session id`)
    this.#pending.push({ id, point })
  }
}
