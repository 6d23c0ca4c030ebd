/** How much each address has of something, and that none has more than it may. */
export class AddressPlaces {
  readonly #max: number
  readonly #taken = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** @returns how to give the place back (once, however often it is called); `null`: this address has all that it may */
  take(address: string): (() => void) | null {
    const taken = this.#taken.get(address) ?? 0
    if (taken >= this.#max) return null
    this.#taken.set(address, taken + 1)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const left = (this.#taken.get(address) ?? 1) - 1
      if (left > 0) this.#taken.set(address, left)
      else this.#taken.delete(address)
    }
  }
}
