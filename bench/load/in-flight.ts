/** The requests under way, in flat arrays: a request costs no allocation. */
import { FIRST_ID } from './requests.ts'

const SLOTS = 1 << 16
const FREE = -1

export class InFlight {
  readonly #method = new Int8Array(SLOTS).fill(FREE)
  readonly #session = new Int32Array(SLOTS)
  readonly #since = new Float64Array(SLOTS)
  #nextId = FIRST_ID
  count = 0

  /**
   * @param since when the request was due or sent, `performance.now()`
   * @returns the request's id
   */
  add(method: number, session: number, since: number): number {
    const id = this.#nextId++
    const slot = id & (SLOTS - 1)
    if (this.#method[slot] !== FREE) {
      throw new Error(`${SLOTS} requests are under way: the rate is more than the server can take; lower it`)
    }
    this.#method[slot] = method
    this.#session[slot] = session
    this.#since[slot] = since
    this.count++
    return id
  }

  /** Frees the request. @returns `null` if it is not under way. */
  take(id: number): { readonly method: number; readonly session: number; readonly since: number } | null {
    const slot = id & (SLOTS - 1)
    const method = this.#method[slot] ?? FREE
    if (method === FREE) return null
    this.#method[slot] = FREE
    this.count--
    return { method, session: this.#session[slot] ?? 0, since: this.#since[slot] ?? 0 }
  }
}
