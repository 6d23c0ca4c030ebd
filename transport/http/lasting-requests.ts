/** Requests that last: event streams and waits. They count as connections, are kept alive, and seen off at the end. */
import { TroupeError } from '../../actors/errors.ts'
import type { Clock } from '../../actors/ports.ts'
import type { AddressPlaces } from '../gateway/address-places.ts'
import { planDeparture } from '../gateway/departure.ts'
import { HttpError } from './problem.ts'

export interface Lasting {
  /** Called at every heartbeat. */
  beat(): void
  /** Ends it in an orderly way: the client is to come back to another process. */
  seeOff(): void
  /** Ends it at once. */
  cut(): void
}

/** A request, before it is known to last. */
export interface Arrival {
  /** Where it comes from. */
  readonly address: string
  /** Gives back its place among the requests under way: it is counted as one that lasts. */
  readonly lasts: () => void
}

export interface LastingOptions {
  readonly clock: Clock
  readonly heartbeatMs: number
  readonly maxConnections: number
  readonly maxConnectionsPerAddress: number
  /** Connections by address. */
  readonly places: AddressPlaces
  /** Open connections of other kinds, which count towards the same limit. */
  readonly otherConnections: () => number
}

/** A heartbeat is spread over this many steps, so that not all are written to at once. */
const BEAT_STEPS = 20

export class LastingRequests {
  readonly #options: LastingOptions
  /** With the step of the heartbeat that is theirs. */
  readonly #requests = new Map<Lasting, number>()
  #beatTimer: { cancel(): void } | null = null
  #beatStep = 0
  #taken = 0
  #isLeaving = false

  constructor(options: LastingOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#requests.size
  }

  /**
   * @returns how to give the place back
   * @throws HttpError 503 if there are too many, 429 if they are of one address; TroupeError `draining` if all are being seen off
   */
  take(request: Lasting, { address, lasts }: Arrival): () => void {
    // It was let in before, and asked who it is since.
    if (this.#isLeaving) throw new TroupeError('draining', 'This process is leaving: send it again.')
    const { maxConnections, maxConnectionsPerAddress, otherConnections, places } = this.#options
    if (this.#requests.size + otherConnections() >= maxConnections) {
      throw new HttpError(
        503,
        'rate_limited',
        'This process has as many connections as it takes; try again later.',
      )
    }
    if (!places.take(address)) {
      throw new HttpError(
        429,
        'rate_limited',
        `There are ${maxConnectionsPerAddress} connections from ${address}, the most allowed; close some.`,
      )
    }
    lasts()
    this.#requests.set(request, this.#taken++ % BEAT_STEPS)
    if (this.#beatTimer === null) this.#beatLater()
    return () => {
      if (!this.#requests.delete(request)) return
      places.giveBack(address)
      if (this.#requests.size > 0) return
      this.#beatTimer?.cancel()
      this.#beatTimer = null
    }
  }

  /** At the pace of sockets: those who are sent away come back. Resolves when all were told. */
  async seeOff(deadlineMs: number): Promise<void> {
    this.#isLeaving = true
    const all = [...this.#requests.keys()]
    const { size, waveMs } = planDeparture(all.length, deadlineMs)
    for (let from = 0; from < all.length; from += size) {
      for (const request of all.slice(from, from + size)) request.seeOff()
      if (from + size < all.length)
        await new Promise<void>((resolve) => this.#options.clock.setTimeout(resolve, waveMs))
    }
  }

  cut(): void {
    for (const request of [...this.#requests.keys()]) request.cut()
  }

  #beatLater(): void {
    this.#beatTimer = this.#options.clock.setTimeout(() => {
      this.#beatStep = (this.#beatStep + 1) % BEAT_STEPS
      this.#beatLater()
      for (const [request, step] of this.#requests) if (step === this.#beatStep) request.beat()
    }, this.#options.heartbeatMs / BEAT_STEPS)
  }
}
