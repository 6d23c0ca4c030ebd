/**
 * A map for what mostly has one entry, of which there are many: an empty `Map` takes five times the memory of this
 * with its entry. From the second on it is a `Map`, until it is empty again.
 */
export class SmallMap<K, V extends object> {
  #key: K | null = null
  /** `null`: there is not just one. */
  #value: V | null = null
  #all: Map<K, V> | null = null

  get size(): number {
    return this.#all?.size ?? (this.#value === null ? 0 : 1)
  }

  get(key: K): V | undefined {
    if (this.#all !== null) return this.#all.get(key)
    return this.#value !== null && this.#key === key ? this.#value : undefined
  }

  set(key: K, value: V): void {
    if (this.#all !== null) {
      this.#all.set(key, value)
    } else if (this.#value === null || this.#key === key) {
      this.#key = key
      this.#value = value
    } else {
      this.#all = new Map([
        [this.#key as K, this.#value],
        [key, value],
      ])
      this.#key = this.#value = null
    }
  }

  /** @returns whether it was there */
  delete(key: K): boolean {
    const isThere = this.get(key) !== undefined
    if (this.size === 1 && isThere) this.clear()
    else this.#all?.delete(key)
    return isThere
  }

  clear(): void {
    this.#key = this.#value = this.#all = null
  }

  keys(): Iterable<K> {
    return this.#all?.keys() ?? (this.#value === null ? [] : [this.#key as K])
  }

  values(): Iterable<V> {
    return this.#all?.values() ?? (this.#value === null ? [] : [this.#value])
  }
}
