/** Keeps one connection to the server: opens it, opens it again after a loss, and moves to another one when told to. */
import type { Clock } from '../../actors/ports.ts'
import { waitMs, type Backoff } from './backoff.ts'
import { ClientError } from './client-error.ts'
import { Link, type Message } from './link.ts'
import { Variable } from './observable.ts'
import type { WebSocketClass } from './web-socket.ts'

export type ConnectionStatus =
  | { readonly state: 'connecting' }
  | { readonly state: 'open' }
  /** Until the next try; `reason`: why the last one ended. */
  | { readonly state: 'waiting'; readonly retryInMs: number; readonly reason: string }
  /** For good. `error`: the server said to stay away, or cannot be connected to at all; absent: `close` was called. */
  | { readonly state: 'closed'; readonly error?: ClientError }

export interface ConnectorOptions {
  readonly WebSocket: WebSocketClass
  readonly url: string
  readonly token: (() => string | Promise<string>) | null
  /** The token may be another one the next time: one that has expired is no reason to stay away. */
  readonly renewsToken: boolean
  readonly clock: Clock
  readonly random: () => number
  readonly backoff: Backoff
  readonly connectTimeoutMs: number
  readonly silenceMs: number
  readonly probeTimeoutMs: number
  readonly isAwaiting: (link: Link) => boolean
  /** A new connection, opened with this token, took the place of the one before; that one may still be open and answer. */
  readonly onCurrent: (link: Link, token: string | null) => void
  readonly onMessage: (link: Link, message: Message) => void
  readonly onLost: (link: Link, code: number) => void
  readonly onStopped: (error: ClientError | null) => void
}

/** One try to connect: it may still wait for the token. */
interface Attempt {
  link: Link | null
  readonly timer: { cancel(): void }
}

const SUBPROTOCOL = 'troupe.v1'
const TOKEN_EXPIRED = 4502

export class Connector {
  readonly status = new Variable<ConnectionStatus>({ state: 'connecting' })
  readonly #options: ConnectorOptions
  #current: Link | null = null
  #attempt: Attempt | null = null
  #retry: { cancel(): void } | null = null
  /** The retry is a move away from the current connection, not a try after a loss. */
  #isMoving = false
  /** Those that are left once they have answered. */
  readonly #leaving = new Set<Link>()
  #tries = 0
  #isStopped = false

  constructor(options: ConnectorOptions) {
    this.#options = options
  }

  get current(): Link | null {
    return this.#current
  }

  start(): void {
    this.#connect()
  }

  /** Tries now instead of after the wait, if it waits. */
  hurry(): void {
    if (this.#retry !== null) this.#connect()
  }

  /** The connection was of use: after a loss the waits begin anew. */
  proved(): void {
    this.#tries = 0
  }

  /** This connection will not be served much longer: another one is opened, and takes over when it is open. */
  moveAway(link: Link, afterMs: number, jitterMs: number): void {
    if (link !== this.#current || this.#attempt !== null || this.#retry !== null) return
    this.#retryIn(afterMs + this.#options.random() * jitterMs)
    this.#isMoving = true
  }

  /** Closes connections that were left and have nothing more to answer. */
  closeIdle(): void {
    for (const link of this.#leaving) {
      if (this.#options.isAwaiting(link)) continue
      this.#leaving.delete(link)
      link.close()
    }
  }

  stop(error: ClientError | null): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#retry?.cancel()
    const attempt = this.#attempt
    attempt?.timer.cancel()
    for (const link of [attempt?.link, this.#current, ...this.#leaving]) link?.close()
    this.#attempt = this.#retry = this.#current = null
    this.#leaving.clear()
    this.status.set(error === null ? { state: 'closed' } : { state: 'closed', error })
    this.#options.onStopped(error)
  }

  #connect(): void {
    this.#retry?.cancel()
    this.#retry = null
    this.#isMoving = false
    if (this.#isStopped || this.#attempt !== null) return
    if (this.#current === null) this.status.set({ state: 'connecting' })
    const { clock, connectTimeoutMs, token } = this.#options
    const attempt: Attempt = {
      link: null,
      timer: clock.setTimeout(() => {
        if (attempt.link === null) this.#failed(attempt, 'there was no token in time')
        else attempt.link.abandon('no connection in time')
      }, connectTimeoutMs),
    }
    this.#attempt = attempt
    if (token === null) this.#open(attempt, null)
    else
      Promise.resolve()
        .then(token)
        .then(
          (text) => this.#open(attempt, text),
          (error: unknown) => this.#failed(attempt, `no token: ${String(error)}`),
        )
  }

  #open(attempt: Attempt, token: string | null): void {
    if (this.#attempt !== attempt) return
    const { WebSocket, url, clock, silenceMs, probeTimeoutMs, isAwaiting, onMessage } = this.#options
    try {
      attempt.link = new Link({
        WebSocket,
        url,
        protocols: token === null ? [SUBPROTOCOL] : [SUBPROTOCOL, `bearer.${token}`],
        clock,
        silenceMs,
        probeTimeoutMs,
        isAwaiting,
        onOpen: (link) => this.#opened(attempt, link, token),
        onMessage,
        onLost: (link, code, reason) => this.#lost(link, code, reason),
      })
    } catch (cause) {
      // An address or a token that no WebSocket can be made with will not be better the next time.
      attempt.timer.cancel()
      const reason = cause instanceof Error ? cause.message : String(cause)
      this.stop(new ClientError('closed', `cannot connect to ${url}: ${reason}`, { cause }))
    }
  }

  #opened(attempt: Attempt, link: Link, token: string | null): void {
    attempt.timer.cancel()
    this.#attempt = null
    if (this.#current !== null) this.#leaving.add(this.#current)
    this.#current = link
    this.status.set({ state: 'open' })
    this.#options.onCurrent(link, token)
    this.closeIdle()
  }

  #failed(attempt: Attempt, reason: string): void {
    if (this.#attempt !== attempt) return
    attempt.timer.cancel()
    this.#attempt = null
    this.#connectLater(reason)
  }

  #lost(link: Link, code: number, reason: string): void {
    const words = `${code}${reason === '' ? '' : ` ${reason}`}`
    const isLeft = this.#leaving.delete(link)
    if (link === this.#current) {
      this.#current = null
      if (this.#isMoving) this.#stay()
    }
    this.#options.onLost(link, code)
    const isOver = code >= 4500 && code <= 4999 && !(code === TOKEN_EXPIRED && this.#options.renewsToken)
    if (!isLeft && isOver) {
      this.stop(
        new ClientError('closed', `the server closed the connection: ${words}`, {
          data: { closeCode: code, reason },
        }),
      )
      return
    }
    if (this.#attempt?.link === link) this.#failed(this.#attempt, words)
    else if (!isLeft && this.#attempt === null && this.#retry === null) this.#connectLater(words)
    else if (this.#current === null && this.#attempt !== null) this.status.set({ state: 'connecting' })
  }

  #connectLater(reason: string): void {
    if (this.#isStopped) return
    const { backoff, random } = this.#options
    const retryInMs = waitMs(backoff, this.#tries++, random)
    this.#retryIn(retryInMs)
    if (this.#current === null) this.status.set({ state: 'waiting', retryInMs, reason })
  }

  /** There is nothing any more to move away from: the time that was given for it does not count. */
  #stay(): void {
    this.#retry?.cancel()
    this.#retry = null
    this.#isMoving = false
  }

  #retryIn(ms: number): void {
    this.#retry = this.#options.clock.setTimeout(() => this.#connect(), ms)
  }
}
