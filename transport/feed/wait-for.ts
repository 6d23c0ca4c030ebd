/** Waiting until a session is done, has a tag, or is in a state: on any process, by the same news as subscribers get. */
import { TroupeError } from '../../actors/errors.ts'
import type { Caller, Clock, SessionService } from '../../actors/ports.ts'
import type { PublicState, SessionId, SessionRecord } from '../../actors/session.ts'
import { fulfils } from '../../actors/until.ts'
import type { Until } from '../../actors/until.ts'
import type { FanOut } from './fan-out.ts'
import type { Notification, Subscriber } from './subscriber.ts'

export interface WaitOptions {
  readonly fanOut: FanOut
  readonly service: Pick<SessionService, 'stateOf' | 'checkUntil'>
  readonly clock: Clock
  readonly id: SessionId
  /** Who waits. */
  readonly caller: Caller
  readonly until: Until
  readonly timeoutMs: number
}

/**
 * Calls back once, with the first record that fulfils the condition or the error; nothing is left behind in either case.
 * Errors: `timeout`; `invalid_params` if the machine has no such tag or state; `not_found`, also if the session is deleted or expires meanwhile; `session_ended` if the machine has ended and the
 * condition can no longer come true.
 * @returns how to give up; neither is called then
 */
export function waitFor(
  { fanOut, service, clock, id, caller, until, timeoutMs }: WaitOptions,
  fulfilled: (record: SessionRecord) => void,
  failed: (error: unknown) => void,
): () => void {
  let isOver = false
  let last: PublicState | null = null
  const over = (tell: () => void): void => {
    if (isOver) return
    isOver = true
    timer.cancel()
    fanOut.leave(id, subscriber)
    tell()
  }
  const look = (record: SessionRecord): void => {
    let state: PublicState
    try {
      if (last === null) service.checkUntil(record, until)
      last = state = service.stateOf(record)
    } catch (error) {
      over(() => failed(error))
      return
    }
    if (fulfils(state, until))
      over(() => {
        try {
          fulfilled(record)
        } catch (error) {
          failed(error)
        }
      })
    else if (state.status !== 'active') {
      const error = new TroupeError(
        'session_ended',
        `session "${id}" has ended, and what was waited for did not come`,
      )
      over(() => failed(error))
    }
  }
  const subscriber: Subscriber = {
    principal: caller.principal,
    ...(caller.isTrusted === true ? {} : { watches: 'waitFor' }),
    undeliverable(error: unknown): void {
      over(() => failed(error))
    },
    deliver(notification: Notification): void {
      if (notification.kind === 'updated') look(notification.record)
      else if (notification.kind === 'ended') {
        const { reason } = notification
        if (reason === 'forbidden') {
          over(() => failed(new TroupeError('forbidden', `session "${id}" may no longer be waited for`)))
          return
        }
        const error = new TroupeError('not_found', `session "${id}" is gone (${reason})`, {
          details: { reason },
        })
        over(() => failed(error))
      }
    },
  }
  const timer = clock.setTimeout(() => {
    const where = last === null ? '' : `; the session is in ${JSON.stringify(last.value).slice(0, 500)}`
    const reason = `what was waited for did not come within ${timeoutMs} ms${where}`
    over(() => failed(new TroupeError('timeout', reason)))
  }, timeoutMs)
  fanOut.join(
    id,
    subscriber,
    (record) => {
      if (isOver) fanOut.leave(id, subscriber)
      else if (record === null)
        over(() => failed(new TroupeError('not_found', `there is no session "${id}"`)))
      else look(record)
    },
    (error) => over(() => failed(error)),
  )
  return () => over(() => undefined)
}
