/** What one client, and all of them, may ask of the HTTP API at a time and in a time. */
import type { ServerResponse } from 'node:http'
import type { Clock } from '../../actors/ports.ts'
import { AddressPlaces } from '../gateway/address-places.ts'
import type { GatewayLimits } from '../gateway/limits.ts'
import { AddressRates } from './address-rates.ts'
import { HttpError } from './problem.ts'
import type { WaitingResponses } from './waiting-responses.ts'

/**
 * Requests of one connection under way: nearly all clients send one after another, and those that do not must not have
 * many answers kept for them.
 */
const MAX_PIPELINED = 16

export class RequestLimits {
  readonly #limits: GatewayLimits
  readonly #rates: AddressRates
  readonly #perAddress: AddressPlaces
  readonly #waiting: WaitingResponses
  #underWay = 0

  constructor(limits: GatewayLimits, waiting: WaitingResponses, clock: Clock) {
    const { maxRequestsPerSecond, maxRequestBurst, maxInFlight } = limits
    this.#limits = limits
    this.#waiting = waiting
    this.#rates = new AddressRates({ clock, maxRequestsPerSecond, maxRequestBurst })
    this.#perAddress = new AddressPlaces(maxInFlight)
  }

  /**
   * Takes a place for a request, until it is answered.
   * @returns how to give it back before: it lasts, and is counted otherwise. @throws HttpError 429, 503
   */
  take(response: ServerResponse, address: string): () => void {
    this.#checkPipeline(response)
    const waitMs = this.#rates.take(address)
    if (waitMs > 0) throw refused(429, `Too many requests: send it again in ${waitMs} ms.`, waitMs)
    const { maxInFlight, maxHttpRequests } = this.#limits
    if (this.#underWay >= maxHttpRequests)
      throw refused(503, `This process has ${maxHttpRequests} requests under way, the most it takes.`)
    if (!this.#perAddress.take(address))
      throw refused(429, `There are ${maxInFlight} requests of ${address} under way, the most allowed.`)
    this.#underWay++
    let isHeld = true
    const over = (): void => {
      if (!isHeld) return
      isHeld = false
      this.#underWay--
      this.#perAddress.giveBack(address)
    }
    response.once('close', over)
    return over
  }

  #checkPipeline(response: ServerResponse): void {
    if (this.#waiting.besides(response) < MAX_PIPELINED) return
    throw new HttpError(
      429,
      'rate_limited',
      `More than ${MAX_PIPELINED} requests of this connection are under way: wait for answers, or open another.`,
      { headers: { Connection: 'close' } },
    )
  }
}

function refused(status: 429 | 503, sentence: string, retryAfterMs?: number): HttpError {
  if (retryAfterMs === undefined) return new HttpError(status, 'rate_limited', sentence)
  return new HttpError(status, 'rate_limited', sentence, {
    headers: { 'Retry-After': Math.ceil(retryAfterMs / 1000) },
    details: { retryAfterMs },
  })
}
