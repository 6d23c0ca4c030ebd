/** The client: one connection, all sessions. */
import type { ContextOf, EventOf, InputOf, SessionIdOf } from '../../actors/define-session.ts'
import type { Clock } from '../../actors/ports.ts'
import type { Until } from '../../actors/until.ts'
import type { SessionView } from '../../actors/view.ts'
import type { Backoff } from './backoff.ts'
import { systemClock } from './client-clock.ts'
import type { ClientError } from './client-error.ts'
import { Connector, type ConnectionStatus } from './connector.ts'
import { HandleCache } from './handle-cache.ts'
import type { Link, Message } from './link.ts'
import type { Observable } from './observable.ts'
import { Renewal } from './renewal.ts'
import { Requests, type RequestOptions } from './requests.ts'
import { SessionHandle } from './session-handle.ts'
import type { ClientUpdate, ClientView, RequestTiming, SendOptions } from './session-types.ts'
import { Subscription, type SubscriptionContext } from './subscription.ts'
import { webSocketClass, type WebSocketClass } from './web-socket.ts'

export interface ClientOptions {
  /** E.g. `wss://example.org/ws`. */
  readonly url: string
  /** Default: the one of the browser, or of Node from 22 on. */
  readonly WebSocket?: WebSocketClass
  /**
   * Sent as subprotocol `bearer.<token>`. A function is asked before each connection, and again before the token expires: the new one is
   * sent over the same connection (`authenticate`), and must be of the same principal.
   */
  readonly token?: string | (() => string | Promise<string>)
  /** Ask for patches instead of whole views. Default false. */
  readonly delta?: boolean
  /** Waits between tries to connect, and to send what was refused for the moment. Default 250 ms, doubling to 10 s, with full jitter. */
  readonly backoff?: Partial<Backoff>
  /**
   * For how long a request may wait for its answer, through however many tries. Default 30 s. An update is sent again for 100 s at
   * most, whatever stands here: servers remember its key for two minutes.
   */
  readonly requestTimeoutMs?: number
  /** Default 10 s. */
  readonly connectTimeoutMs?: number
  /** When something is awaited and nothing came for so long, the server is asked whether it is there. Default 10 s. */
  readonly silenceMs?: number
  /** How long it has to answer that, before another connection is opened. Default 5 s. */
  readonly probeTimeoutMs?: number
  /** Requests that may wait, for a connection or for an answer. Default 1000. */
  readonly maxQueued?: number
  /**
   * Requests for one session that are sent without waiting for the answer to the one before. Default 1: their order is kept
   * under all circumstances. With more, bursts are faster over long distances, and one that the server refuses for the moment
   * (`rate_limited`, `unavailable`, …) is overtaken by those behind it.
   */
  readonly maxInFlightPerSession?: number
  /** Larger requests are refused here (`too_large`). Default 262144, as the server's. */
  readonly maxFrameBytes?: number
  /** For tests. */
  readonly clock?: Clock
  /** For tests: 0 to 1. */
  readonly random?: () => number
}

export interface CreateSessionOptions<D> extends RequestTiming {
  /** Default: one that the server chooses. */
  readonly id?: string
  readonly input?: InputOf<D>
  readonly key?: string
  /** If a session with this id exists: an error (default), or that session. */
  readonly ifExists?: 'error' | 'return'
}

/** How long a subscription stays after the last listener has left. */
const LINGER_MS = 100

/**
 * Connects, and stays connected until {@link Client.close}.
 *
 * @example
 * const client = createClient<{ checkout: typeof checkout }>({ url: 'wss://example.org/ws' })
 * const { id } = await client.createSession('checkout')
 * const session = client.session(id)
 * await session.send({ type: 'PAY' })
 * @typeParam Definitions the server's definitions, by their names
 * @throws Error if there is no WebSocket class
 */
export function createClient<Definitions extends object = Record<string, unknown>>(
  options: ClientOptions,
): Client<Definitions> {
  return new Client<Definitions>(options)
}

export class Client<Definitions extends object = Record<string, unknown>> {
  /** How the connection is, to show it. */
  readonly status: Observable<ConnectionStatus>
  readonly #connector: Connector
  readonly #requests: Requests
  readonly #clock: Clock
  readonly #requestTimeoutMs: number
  readonly #listening = new Set<Subscription>()
  readonly #handles = new HandleCache()
  readonly #subscriptionContext: SubscriptionContext
  /** `null`: there is no token, or it is always the same. */
  readonly #renewal: Renewal | null
  readonly #online = (): void => this.#connector.hurry()
  #lanes = 0

  constructor(options: ClientOptions) {
    const { url, token, clock = systemClock, random = Math.random } = options
    const backoff = { minMs: 250, maxMs: 10_000, ...options.backoff }
    this.#clock = clock
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 30_000
    this.#renewal = typeof token === 'function' ? new Renewal({ token, clock, random, backoff }) : null
    this.#connector = new Connector({
      WebSocket: webSocketClass(options.WebSocket),
      url,
      token: token === undefined ? null : typeof token === 'string' ? () => token : token,
      renewsToken: typeof token === 'function',
      clock,
      random,
      backoff,
      connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
      silenceMs: options.silenceMs ?? 10_000,
      probeTimeoutMs: options.probeTimeoutMs ?? 5000,
      isAwaiting: (link) =>
        this.#requests.isAwaiting(link) || (link === this.#connector.current && this.#listening.size > 0),
      onCurrent: (link, used) => {
        if (used !== null) this.#renewal?.opened(link, used)
        for (const subscription of [...this.#listening]) subscription.sync()
        this.#requests.resume()
      },
      onMessage: (link, message) => this.#received(link, message),
      onLost: (link, code) => {
        this.#renewal?.lost(link)
        this.#requests.lost(link, code)
        for (const subscription of [...this.#listening]) subscription.lost(link)
      },
      onStopped: (error) => this.#stopped(error),
    })
    this.#requests = new Requests({
      clock,
      random,
      backoff,
      maxQueued: options.maxQueued ?? 1000,
      maxInFlightPerSession: options.maxInFlightPerSession ?? 1,
      maxFrameBytes: options.maxFrameBytes ?? 262_144,
      current: () => this.#connector.current,
      onAnswer: () => this.#connector.proved(),
      onDraining: (link) => this.#connector.moveAway(link, 0, backoff.minMs),
    })
    this.#subscriptionContext = {
      current: () => this.#connector.current,
      stopped: () => {
        const status = this.#connector.status.getSnapshot()
        return status.state === 'closed' ? status : undefined
      },
      request: (request) => this.#requests.add(request),
      delta: { wanted: options.delta ?? false },
      onListening: (subscription, isListening) => {
        if (isListening) this.#listening.add(subscription)
        else this.#listening.delete(subscription)
      },
      soon: (callback) => void clock.setTimeout(callback, LINGER_MS),
    }
    this.status = this.#connector.status
    page()?.addEventListener('online', this.#online)
    this.#connector.start()
  }

  /** The session of this id, whether it exists or not: nothing is sent yet. The same handle as long as somebody holds it. */
  session<D, Context = ContextOf<D>>(id: SessionIdOf<D>): SessionHandle<D, Context>
  session<D = unknown, Context = ContextOf<D>>(id: string): SessionHandle<D, Context>
  session(id: string): SessionHandle<unknown, unknown> {
    // What the handle is typed as, only the caller knows.
    return this.#handles.get(id, () => {
      const subscription = new Subscription(id, this.#subscriptionContext)
      return { handle: new SessionHandle<unknown, unknown>(id, this, subscription), subscription }
    })
  }

  /**
   * Starts a session.
   * @param machine name of the definition
   * @throws ClientError `session_exists`, `unknown_machine`, `event_invalid` (the input), `timeout`, …
   */
  async createSession<Name extends keyof Definitions & string>(
    machine: Name,
    { timeoutMs, key = newKey(), ...rest }: CreateSessionOptions<Definitions[Name]> = {},
  ): Promise<ClientView<Definitions[Name]> & { readonly created: boolean }> {
    const params = { machine, ...rest, key }
    const result = await this.#call('createSession', params, {
      ...(rest.id === undefined ? {} : { lane: rest.id }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      key,
    })
    return result as ClientView<Definitions[Name]> & { readonly created: boolean }
  }

  /** The session as it is now; `null`: there is none. */
  async getSession<D = unknown>(
    id: SessionIdOf<D> | string,
    { timeoutMs }: RequestTiming = {},
  ): Promise<ClientView<D> | null> {
    const timing = timeoutMs === undefined ? {} : { timeoutMs }
    return (await this.#call(
      'getSession',
      { id },
      { lane: id, readOnly: true, ...timing },
    )) as ClientView<D> | null
  }

  /**
   * Sends an event. It is applied once, and after those that were sent before it to the same session.
   * @throws ClientError `not_found`, `event_invalid`, `session_ended`, `version_conflict`, `timeout`, …
   */
  async updateSession<D = unknown>(
    id: SessionIdOf<D> | string,
    event: EventOf<D>,
    { timeoutMs, key = newKey(), ifVersion }: SendOptions = {},
  ): Promise<ClientUpdate<D>> {
    const params = { id, event, key, ...(ifVersion === undefined ? {} : { ifVersion }) }
    const timing = timeoutMs === undefined ? {} : { timeoutMs }
    return (await this.#call('updateSession', params, { lane: id, key, ...timing })) as ClientUpdate<D>
  }

  /** Ends a session. @returns whether there was one; false also if an earlier try of this call has ended it */
  async deleteSession(id: string, { timeoutMs }: RequestTiming = {}): Promise<boolean> {
    const timing = timeoutMs === undefined ? {} : { timeoutMs }
    const { deleted } = (await this.#call('deleteSession', { id }, { lane: id, ...timing })) as {
      deleted: boolean
    }
    if (deleted) this.#handles.subscription(id)?.ended('deleted', null)
    return deleted
  }

  /** To all subscribers of the session, at most once. @throws ClientError `timeout` if it is not known whether it was sent */
  async broadcastToSession(id: string, message: unknown, { timeoutMs }: RequestTiming = {}): Promise<void> {
    const timing = timeoutMs === undefined ? {} : { timeoutMs }
    await this.#call('broadcastToSession', { id, message }, { lane: id, repeatable: false, ...timing })
  }

  /**
   * Resolves when the session is done, has a tag, or is in a state.
   * @throws ClientError `timeout`, `session_ended` (it is no more, or can never be there), `not_found`
   */
  async waitFor<D = unknown>(
    id: SessionIdOf<D> | string,
    until: Until,
    { timeoutMs = this.#requestTimeoutMs }: RequestTiming = {},
  ): Promise<ClientView<D>> {
    const deadline = this.#clock.now() + timeoutMs
    const params = (): object => {
      const leftMs = Math.round(deadline - this.#clock.now())
      return { id, until, timeoutMs: Math.min(3_600_000, Math.max(1, leftMs)) }
    }
    return (await this.#call('waitFor', params, {
      readOnly: true,
      patient: true,
      finalCode: 'timeout',
      timeoutMs,
    })) as ClientView<D>
  }

  /** Closes the connection. What waits fails with `closed`; subscriptions and iterables end. */
  close(): void {
    this.#connector.stop(null)
  }

  #call(
    method: string,
    params: object | (() => object),
    options: Partial<RequestOptions> & { lane?: string },
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      // As it is now: the caller may change the object while it waits, and a key stands for one content.
      const fixed = JSON.stringify(params) as string | undefined
      this.#requests.add({
        method,
        // A name that no session can have.
        lane: `#${++this.#lanes}`,
        timeoutMs: this.#requestTimeoutMs,
        repeatable: true,
        ...options,
        params:
          typeof params === 'function' ? (params as () => object) : () => JSON.parse(fixed ?? '{}') as object,
        onResult: (result, link) => {
          this.#learn(result, link)
          resolve(result)
        },
        onError: reject,
      })
    })
  }

  /** Replies show sessions too. */
  #learn(result: unknown, link: Link): void {
    if (typeof result !== 'object' || result === null || !('epoch' in result)) return
    const view = { ...result } as Record<string, unknown>
    for (const ofReply of ['outcome', 'applied', 'created']) delete view[ofReply]
    this.#handles.subscription(String(view['id']))?.offer(view as unknown as SessionView, link)
  }

  #received(link: Link, message: Message): void {
    const { method } = message
    if (method === undefined) {
      if (this.#renewal?.received(link, message) === true) return
      this.#requests.received(link, message)
      this.#connector.closeIdle()
      return
    }
    if (typeof method !== 'string' || typeof message.params !== 'object' || message.params === null) return
    const params = message.params as Record<string, unknown>
    if (method === 'goAway')
      this.#connector.moveAway(link, Number(params['afterMs']), Number(params['jitterMs']))
    else this.#handles.subscription(String(params['id']))?.notified(method, params, link)
  }

  #stopped(error: ClientError | null): void {
    page()?.removeEventListener('online', this.#online)
    this.#renewal?.stop()
    this.#requests.stop(error?.message ?? 'the client was closed', error === null ? {} : { ...error.data })
    for (const subscription of [...this.#listening]) subscription.close(error ?? undefined)
  }
}

/** Not `randomUUID`: that is missing in pages that do not come over HTTPS. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('')
}

/** The browser's, which tells when the network is back. */
function page(): { addEventListener: Listen; removeEventListener: Listen } | undefined {
  const { addEventListener, removeEventListener } = globalThis as {
    addEventListener?: Listen
    removeEventListener?: Listen
  }
  if (addEventListener === undefined || removeEventListener === undefined) return undefined
  return {
    addEventListener: (kind, listener) => addEventListener.call(globalThis, kind, listener),
    removeEventListener: (kind, listener) => removeEventListener.call(globalThis, kind, listener),
  }
}

type Listen = (kind: string, listener: () => void) => void
