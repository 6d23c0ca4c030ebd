/** The TypeScript API on top of the parts of a serving process. */
import type { ContextOf, EventOf, InputOf, SessionDefinition, SessionIdOf } from '../actors/define-session.ts'
import { TroupeError } from '../actors/errors.ts'
import type { Caller } from '../actors/ports.ts'
import { parseSessionId } from '../actors/session.ts'
import type { Position, SessionId, SessionRecord } from '../actors/session.ts'
import { asUntil } from '../actors/until.ts'
import type { Until } from '../actors/until.ts'
import type { SessionView } from '../actors/view.ts'
import { waitFor } from '../transport/feed/wait-for.ts'
import { notShown } from '../transport/protocol/failures.ts'
import { CallbackSubscriber } from './notices.ts'
import type { SessionNotice } from './notices.ts'
import type { Serving } from './serving.ts'

/** What a caller of the TypeScript API is to the host: the server itself, on no connection. */
export const CALLER: Caller = { principal: null, origin: null, isTrusted: true }

export interface UpdateOptions {
  /** Idempotency key: the same key with the same event is applied once within `commandKeyTtlMs`. */
  readonly key?: string
  /** Apply only if the session is at this version. */
  readonly ifVersion?: number | Position
}

export interface CreateOptions<D> {
  /** Default: a random one, or one derived from `key`. */
  readonly id?: string
  readonly input?: InputOf<D>
  readonly key?: string
  /** What to do if the session exists. Default `error`. */
  readonly ifExists?: 'error' | 'return'
  /** Lifetime in ms after the last commit; `null`: for ever. Default: that of the definition. */
  readonly ttlMs?: number | null
}

/** A session as the TypeScript API shows it: the client's view, with the whole context. */
export type Session<D = unknown> = SessionView<ContextOf<D>> & { readonly id: SessionIdOf<D> }

/** What has become of an event: `applied` is the version that it made. */
export type UpdatedSession<D = unknown> = Session<D> & {
  readonly outcome: 'committed' | 'unchanged' | 'duplicate'
  readonly applied?: number
}

export abstract class SessionApi {
  protected abstract readonly serving: Serving

  /**
   * Creates a session.
   * @throws TroupeError `session_exists`, `unknown_machine`, `event_invalid` (the input), `too_large`, `unavailable`, …
   */
  async createSession<D extends SessionDefinition>(
    definition: D | string,
    options: CreateOptions<D> = {},
  ): Promise<Session<D> & { readonly created: boolean }> {
    const machine = typeof definition === 'string' ? definition : definition.name
    const { created, record } = await this.serving.host.create({ machine, ...options }, CALLER)
    return { created, ...this.#done<D>(record, { created }) }
  }

  /** The session as it is now, by one read; `null`: there is none. @throws TroupeError `unavailable` */
  async getSession<D = unknown>(id: SessionIdOf<D> | string): Promise<Session<D> | null> {
    const record = await this.serving.host.get(asId(id), CALLER)
    return record === null ? null : this.#session<D>(record)
  }

  /**
   * Sends an event to the session's machine; the transition that it causes is the update.
   * @throws TroupeError `not_found`, `event_invalid`, `session_ended`, `version_conflict`, `contention`, `unavailable`, …
   */
  async updateSession<D = unknown>(
    id: SessionIdOf<D> | string,
    event: EventOf<D>,
    options: UpdateOptions = {},
  ): Promise<UpdatedSession<D>> {
    const request = { id: asId(id), event: checkEvent(event), ...options }
    const { outcome, applied, record } = await this.serving.host.update(request, CALLER)
    const done = { outcome, ...(applied === undefined ? {} : { applied }) }
    return { ...done, ...this.#done<D>(record, done) }
  }

  /** @returns whether there was a session to delete. @throws TroupeError `unavailable` */
  deleteSession(id: string): Promise<boolean> {
    return this.serving.host.delete(asId(id), CALLER)
  }

  /** Tells all subscribers of the session, at most once; does not ask whether it exists. @throws TroupeError */
  broadcastToSession(id: string, message: unknown): Promise<void> {
    return this.serving.host.broadcast(asId(id), message, CALLER)
  }

  /**
   * Calls back with the session as it is now, then for each update, message, emitted event and its end.
   * @returns how to end the subscription
   * @throws TroupeError `not_found`, `unavailable`
   */
  subscribe<D = unknown>(
    id: SessionIdOf<D> | string,
    callback: (notice: SessionNotice<Session<D>>) => void,
  ): Promise<() => void> {
    const sessionId = asId(id)
    const subscriber = new CallbackSubscriber(
      (record) => this.#session<D>(record),
      callback,
      this.serving.log,
    )
    const leave = (): void => this.serving.fanOut.leave(sessionId, subscriber)
    return new Promise((resolve, reject) => {
      const joined = (record: SessionRecord | null): void => {
        if (record === null) {
          reject(new TroupeError('not_found', `there is no session "${sessionId}": create it first`))
          return
        }
        subscriber.begin(record)
        resolve(leave)
      }
      this.serving.fanOut.join(sessionId, subscriber, joined, reject)
    })
  }

  /**
   * Resolves once the session is done, has a tag, or is in a state, on whichever process it gets there; at once if it is already.
   * @throws TroupeError `timeout`, `invalid_params` (the machine has no such tag or state), `not_found`, `session_ended` (it can no longer come true)
   */
  waitFor<D = unknown>(
    id: SessionIdOf<D> | string,
    until: Until,
    { timeoutMs = 30_000 }: { readonly timeoutMs?: number } = {},
  ): Promise<Session<D>> {
    return waitForSession<D>(this.serving, asId(id), until, timeoutMs)
  }

  /**
   * Calls back for updates and ends of every session, whichever process of the cluster made them; at most once each.
   * @returns how to end it. @throws StoreFailure
   */
  async onUpdate(callback: (notice: SessionNotice<Session>) => void): Promise<() => void> {
    return this.serving.fanOut.onAny((message) => {
      if (message.kind === 'ended')
        callback({ kind: 'ended', id: message.id, position: message.position, reason: message.reason })
      else
        callback({
          kind: 'updated',
          session: this.#session(message.record),
          events: JSON.parse(message.events) as string[],
        })
    })
  }

  /** The session after something was done to it. @throws TroupeError with what was done in its details */
  #done<D>(record: SessionRecord, done: Readonly<Record<string, unknown>>): Session<D> {
    try {
      return this.#session<D>(record)
    } catch (error) {
      throw notShown(error, done)
    }
  }

  #session<D>(record: SessionRecord): Session<D> {
    return sessionOf<D>(this.serving, record)
  }
}

/** See {@link SessionApi.waitFor}. */
export function waitForSession<D>(
  serving: Pick<Serving, 'fanOut' | 'host' | 'clock'>,
  id: SessionId,
  until: Until,
  timeoutMs: number,
): Promise<Session<D>> {
  const { fanOut, clock } = serving
  return new Promise((resolve, reject) => {
    waitFor(
      {
        fanOut,
        clock,
        id,
        caller: CALLER,
        until: asUntil(until),
        timeoutMs: asTimeout(timeoutMs),
        service: serving.host,
      },
      (record) => resolve(sessionOf<D>(serving, record)),
      reject,
    )
  })
}

function sessionOf<D>({ host }: Pick<Serving, 'host'>, record: SessionRecord): Session<D> {
  return JSON.parse(host.encodeView(record, null)) as Session<D>
}

/** @throws TroupeError `invalid_params` */
export function asId(text: string): SessionId {
  const id = parseSessionId(text)
  if (id !== null) return id
  throw new TroupeError('invalid_params', `${JSON.stringify(text)} is not a session id`)
}

/** More than this Node's timers take for 1 ms. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1

function asTimeout(ms: unknown): number {
  if (typeof ms === 'number' && ms >= 0 && ms <= LONGEST_TIMEOUT_MS) return ms
  throw new TroupeError('invalid_params', `timeoutMs: must be a number of ms from 0 to ${LONGEST_TIMEOUT_MS}`)
}

function checkEvent(event: unknown): { type: string } {
  const type = (event as { type?: unknown } | null)?.type
  if (typeof type === 'string' && type !== '') return event as { type: string }
  throw new TroupeError('invalid_params', 'event: must be an object with a non-empty string "type"')
}
