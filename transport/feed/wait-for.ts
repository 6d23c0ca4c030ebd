/** Waiting until a session is done, has a tag, or is in a state: on any process, by the same news as subscribers get. */
import { TroupeError } from '../../actors/errors.ts'
import type { Clock } from '../../actors/ports.ts'
import type { PublicState, SessionId, SessionRecord } from '../../actors/session.ts'
import type { FanOut } from './fan-out.ts'
import type { Notification, Subscriber } from './subscriber.ts'

/** `value`: a state by its key, or an object of states as far as they matter, as in XState's `matches`. */
export type Until = { readonly done: true } | { readonly tag: string } | { readonly value: unknown }

export interface WaitOptions {
  readonly fanOut: FanOut
  /** A record's state as it is shown. @throws TroupeError */
  readonly stateOf: (record: SessionRecord) => PublicState
  readonly clock: Clock
  readonly id: SessionId
  readonly until: Until
  readonly timeoutMs: number
}

/**
 * Calls back once, with the first record that fulfils the condition or the error; nothing is left behind in either case.
 * Errors: `timeout`; `not_found`, also if the session is deleted or expires meanwhile; `session_ended` if the machine has ended and the
 * condition can no longer come true.
 * @returns how to give up; neither is called then
 */
export function waitFor(
  { fanOut, stateOf, clock, id, until, timeoutMs }: WaitOptions,
  fulfilled: (record: SessionRecord) => void,
  failed: (error: unknown) => void,
): () => void {
  let isOver = false
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
      state = stateOf(record)
    } catch (error) {
      over(() => failed(error))
      return
    }
    if (fulfils(state, until)) over(() => fulfilled(record))
    else if (state.status !== 'active') {
      const error = new TroupeError(
        'session_ended',
        `session "${id}" has ended, and what was waited for did not come`,
      )
      over(() => failed(error))
    }
  }
  const subscriber: Subscriber = {
    principal: null,
    undeliverable(error: unknown): void {
      over(() => failed(error))
    },
    deliver(notification: Notification): void {
      if (notification.kind === 'updated') look(notification.record)
      else if (notification.kind === 'ended') {
        const { reason } = notification
        const error = new TroupeError('not_found', `session "${id}" is gone (${reason})`, {
          details: { reason },
        })
        over(() => failed(error))
      }
    },
  }
  const timer = clock.setTimeout(() => {
    over(() => failed(new TroupeError('timeout', `what was waited for did not come within ${timeoutMs} ms`)))
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

function fulfils({ status, tags, value }: PublicState, until: Until): boolean {
  if ('done' in until) return status === 'done'
  if ('tag' in until) return tags.includes(until.tag)
  return matches(value, until.value)
}

/** As XState's `matches`: what is wanted may be less than what is there. */
function matches(value: unknown, wanted: unknown): boolean {
  if (typeof wanted === 'string') {
    return typeof value === 'string' ? value === wanted : isObject(value) && Object.hasOwn(value, wanted)
  }
  return (
    isObject(wanted) &&
    isObject(value) &&
    Object.entries(wanted).every(([key, of]) => Object.hasOwn(value, key) && matches(value[key], of))
  )
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
