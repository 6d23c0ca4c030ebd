/**
 * Who is let in: the limits that count before there is a connection, and finding out who asks.
 *
 * A place is held from the upgrade request on until its socket is closed, however it ends: whoever takes one gives it back.
 */
import type { IncomingMessage } from 'node:http'
import type { BlockList } from 'node:net'
import type { Duplex } from 'node:stream'
import { TroupeError } from '../../actors/errors.ts'
import type { Clock } from '../../actors/ports.ts'
import type { Identity } from '../auth/authenticator.ts'
import type { Gatekeeper } from '../auth/gatekeeper.ts'
import { Login } from '../auth/login.ts'
import { toTroupeError } from '../protocol/failures.ts'
import { AddressPlaces } from './address-places.ts'
import { clientAddress } from './client-address.ts'
import type { GatewayLimits } from './limits.ts'
import type { Refused } from './upgrade.ts'

export interface DoorwayOptions {
  /** `null`: nobody is asked. */
  readonly gatekeeper: Gatekeeper | null
  /** Proxies whose `X-Forwarded-For` is believed. */
  readonly proxies: BlockList | null
  /** Connections by address, if others count towards the same; default: own. */
  readonly places?: AddressPlaces | undefined
  readonly limits: GatewayLimits
  readonly clock: Clock
}

/** What has become of an upgrade; `login` is `null` where nobody is asked. */
export type Entry =
  | { readonly kind: 'admitted'; readonly login: Login | null }
  | { readonly kind: 'refused'; readonly refused: Refused }

export class Doorway {
  readonly #options: DoorwayOptions
  readonly #perAddress: AddressPlaces
  #guests = 0

  constructor(options: DoorwayOptions) {
    this.#options = options
    this.#perAddress = options.places ?? new AddressPlaces(options.limits.maxConnectionsPerAddress)
  }

  addressOf(request: IncomingMessage): string {
    return clientAddress(request, this.#options.proxies)
  }

  /** Takes a place for a socket from this address. @returns why it cannot have one; `null`: it has */
  take(address: string): Refused | null {
    if (this.#perAddress.take(address)) return null
    const sentence = `There are ${this.#options.limits.maxConnectionsPerAddress} connections from ${address}, the most allowed; close some.`
    return { status: 429, sentence }
  }

  giveBack(address: string): void {
    this.#perAddress.giveBack(address)
  }

  /** Finds out who it is. `entered` is called at once where nobody is asked, and never if the client has gone. */
  enter(request: IncomingMessage, stream: Duplex, entered: (entry: Entry) => void): void {
    const { gatekeeper, limits, clock } = this.#options
    if (gatekeeper === null) {
      entered({ kind: 'admitted', login: null })
      return
    }
    if (this.#guests >= limits.maxUnauthenticated) {
      const sentence = 'Too many clients have not said yet who they are; try again soon.'
      entered({ kind: 'refused', refused: { status: 503, sentence } })
      return
    }
    const release = this.#takeGuestPlace(stream)
    this.#identify(gatekeeper, request).then(
      (identity) => {
        if (stream.destroyed) return
        if (identity !== null) release()
        if (identity === null && !gatekeeper.takesTokens) {
          entered({ kind: 'refused', refused: { status: 401, sentence: 'It is not known who sends this.' } })
          return
        }
        const login = new Login(identity, {
          gatekeeper,
          clock,
          deadlineMs: limits.authenticateWithinMs,
          onKnown: release,
        })
        entered({ kind: 'admitted', login })
      },
      (thrown: unknown) => {
        if (stream.destroyed) return
        const { code, message } = toTroupeError(thrown)
        const status = code === 'unauthenticated' ? 401 : 503
        entered({ kind: 'refused', refused: { status, sentence: message } })
      },
    )
  }

  #takeGuestPlace(stream: Duplex): () => void {
    this.#guests++
    let isHeld = true
    const release = (): void => {
      if (isHeld) this.#guests--
      isHeld = false
    }
    stream.once('close', release)
    return release
  }

  #identify(gatekeeper: Gatekeeper, request: IncomingMessage): Promise<Identity | null> {
    const { clock, limits } = this.#options
    return new Promise((resolve, reject) => {
      const timer = clock.setTimeout(
        () => reject(new TroupeError('unavailable', 'Finding out who sends this took too long; try again.')),
        limits.authenticateWithinMs,
      )
      gatekeeper
        .identify(request)
        .then(resolve, reject)
        .finally(() => timer.cancel())
    })
  }
}
