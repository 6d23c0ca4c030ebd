/** How many sessions one connection creates. */
import { TroupeError } from '../../actors/errors.ts'

export class Creations {
  readonly #max: number
  #count = 0

  constructor(max: number) {
    this.#max = max
  }

  /** @returns how to take it back: none was created. @throws TroupeError `rate_limited` if there were too many */
  claim(): () => void {
    if (this.#count >= this.#max) {
      throw new TroupeError(
        'rate_limited',
        `This connection has created ${this.#max} sessions, the most allowed: open another connection.`,
      )
    }
    this.#count++
    return () => void this.#count--
  }
}
