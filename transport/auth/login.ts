/**
 * Who is on the other end of one connection, and until when that counts.
 *
 * Whoever has not said so by the deadline is sent away, and so is whoever let it expire. A connection belongs to one
 * principal for its whole life: its subscriptions and the order of its requests were granted to that one.
 */
import { TroupeError } from '../../actors/errors.ts'
import type { Clock, Principal } from '../../actors/ports.ts'
import type { CloseKindName } from '../protocol/close-codes.ts'
import type { Identity } from './authenticator.ts'
import type { Gatekeeper } from './gatekeeper.ts'

export interface LoginOptions {
  readonly gatekeeper: Gatekeeper
  readonly clock: Clock
  /** Time to send `authenticate` in. */
  readonly deadlineMs: number
  /** It is known now who this is. */
  readonly onKnown: () => void
}

export interface LoginEvents {
  /** It is known who this is, for the first time or anew. */
  readonly onPrincipal: (principal: Principal) => void
  readonly onExpired: (kind: CloseKindName) => void
}

/** Node's timers take no more. */
const LONGEST_WAIT_MS = 2 ** 31 - 1

export class Login {
  readonly #options: LoginOptions
  #events: LoginEvents | null = null
  #identity: Identity | null
  #timer: { cancel(): void } | null = null

  /** @param identity what the upgrade has told; `null`: nothing yet */
  constructor(identity: Identity | null, options: LoginOptions) {
    this.#identity = identity
    this.#options = options
  }

  get principal(): Principal | null {
    return this.#identity?.principal ?? null
  }

  start(events: LoginEvents): void {
    this.#events = events
    this.#watch()
  }

  end(): void {
    this.#events = null
    this.#timer?.cancel()
  }

  /** @throws TroupeError `unauthenticated`, `unavailable`; the connection stays as it is */
  async authenticate(token: string): Promise<Identity> {
    const identity = await this.#options.gatekeeper.check(token)
    const before = this.#identity
    if (before !== null) checkSame(before.principal, identity.principal)
    this.#identity = identity
    if (before === null) this.#options.onKnown()
    this.#events?.onPrincipal(identity.principal)
    this.#watch()
    return identity
  }

  #watch(): void {
    this.#timer?.cancel()
    this.#timer = null
    if (this.#events === null) return
    const { clock, deadlineMs } = this.#options
    if (this.#identity === null)
      this.#timer = clock.setTimeout(() => this.#events?.onExpired('unauthenticated'), deadlineMs)
    else if (this.#identity.expiresAt !== null) {
      const leftMs = Math.max(0, this.#identity.expiresAt - Date.now())
      this.#timer = clock.setTimeout(() => this.#expire(), Math.min(leftMs, LONGEST_WAIT_MS))
    }
  }

  #expire(): void {
    const expiresAt = this.#identity?.expiresAt ?? null
    // The wall clock may go otherwise than the timer.
    if (expiresAt !== null && expiresAt > Date.now()) this.#watch()
    else this.#events?.onExpired('token_expired')
  }
}

function checkSame(before: Principal, now: Principal): void {
  if (before.id !== now.id) {
    throw new TroupeError(
      'unauthenticated',
      `This connection belongs to ${JSON.stringify(before.id)}; open another one for ${JSON.stringify(now.id)}.`,
    )
  }
  if (JSON.stringify(before.access) !== JSON.stringify(now.access)) {
    throw new TroupeError(
      'unauthenticated',
      'This token lets its holder do other things than the one before; open another connection for it.',
    )
  }
}
