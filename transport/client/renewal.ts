/**
 * Keeps the token of a connection fresh: the server tells until when it counts, and before that another one is sent over
 * the same connection, so that nothing is cut off. What goes wrong with it is tried again; if the token ends all the
 * same, the server closes, and the next connection is opened with a new one (connector.ts).
 */
import type { Clock } from '../../actors/ports.ts'
import { waitMs, type Backoff } from './backoff.ts'
import type { Link, Message } from './link.ts'

export interface RenewalOptions {
  readonly token: () => string | Promise<string>
  readonly clock: Clock
  readonly random: () => number
  readonly backoff: Backoff
}

/** A new token is asked for so long before the old one ends, or when half of the time that is left has passed. */
const LEAD_MS = 60_000
/** The next renewal is never sooner, whatever clocks and tokens say. */
const SOONEST_MS = 1000
/** Node's timers wait no longer. */
const LONGEST_MS = 2 ** 31 - 1

export class Renewal {
  readonly #options: RenewalOptions
  #link: Link | null = null
  #timer: { cancel(): void } | null = null
  /** Of the request that is under way. */
  #id = ''
  #count = 0
  #tries = 0

  constructor(options: RenewalOptions) {
    this.#options = options
  }

  /** A connection was opened with this token. The server is asked until when that counts. */
  opened(link: Link, token: string): void {
    this.stop()
    this.#link = link
    this.#send(link, token)
  }

  /** @returns whether the message was an answer to a request of this file */
  received(link: Link, { id, result, error }: Message): boolean {
    if (typeof id !== 'string' || !id.startsWith('authenticate-')) return false
    if (link !== this.#link || id !== this.#id) return true
    if (error === undefined) {
      this.#tries = 0
      const { expiresAt } = (result ?? {}) as { expiresAt?: unknown }
      if (typeof expiresAt === 'number') this.#renewBefore(expiresAt)
    } else if (isWorthAnother(error)) this.#tryLater()
    return true
  }

  lost(link: Link): void {
    if (link === this.#link) this.stop()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = this.#link = null
    this.#id = ''
    this.#tries = 0
  }

  #send(link: Link, token: string): void {
    this.#id = `authenticate-${++this.#count}`
    link.send(JSON.stringify({ jsonrpc: '2.0', id: this.#id, method: 'authenticate', params: { token } }))
  }

  #renewBefore(expiresAt: number): void {
    const leftMs = expiresAt - Date.now()
    // By this machine's clock it is over already: that clock is wrong, or the server closes now.
    if (leftMs > 0) this.#renewIn(Math.max(SOONEST_MS, leftMs - Math.min(LEAD_MS, leftMs / 2)))
  }

  #tryLater(): void {
    const { backoff, random } = this.#options
    this.#renewIn(waitMs(backoff, this.#tries++, random))
  }

  #renewIn(ms: number): void {
    this.#timer?.cancel()
    this.#timer = this.#options.clock.setTimeout(() => void this.#renew(), Math.min(ms, LONGEST_MS))
  }

  async #renew(): Promise<void> {
    const link = this.#link
    if (link === null) return
    try {
      const token = await this.#options.token()
      if (link === this.#link) this.#send(link, token)
    } catch {
      if (link === this.#link) this.#tryLater()
    }
  }
}

/** A server that asks nobody who they are refuses to be told. */
function isWorthAnother(error: unknown): boolean {
  const { data } = (error ?? {}) as { data?: { code?: unknown; retryable?: unknown } }
  return data?.code === 'unauthenticated' || data?.retryable === true
}
