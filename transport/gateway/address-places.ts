/** How much each address has of something, and that none has more than it may. */
export class AddressPlaces {
  readonly #max: number
  readonly #taken = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** @returns whether there was one left. Each that was taken is to be given back once */
  take(address: string): boolean {
    const taken = this.#taken.get(address) ?? 0
    if (taken >= this.#max) return false
    this.#taken.set(address, taken + 1)
    return true
  }

  giveBack(address: string): void {
    const left = (this.#taken.get(address) ?? 1) - 1
    if (left > 0) this.#taken.set(address, left)
    else this.#taken.delete(address)
  }
}
