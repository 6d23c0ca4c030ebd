/** A value that changes, in the shape that React's `useSyncExternalStore` takes. */

export interface Observable<T> {
  /** Calls the listener after each change. @returns how to end it */
  readonly subscribe: (listener: (value: T) => void) => () => void
  readonly getSnapshot: () => T
}

export class Variable<T> implements Observable<T> {
  #value: T
  readonly #listeners = new Set<(value: T) => void>()

  constructor(value: T) {
    this.#value = value
  }

  readonly getSnapshot = (): T => this.#value

  readonly subscribe = (listener: (value: T) => void): (() => void) => {
    // Each call counts by itself, also with the same function.
    const own = (value: T): void => listener(value)
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  set(value: T): void {
    this.#value = value
    callAll(this.#listeners, value)
  }
}

/** A listener that throws must not keep the others from hearing; its error is reported as one that nobody caught. */
export function callAll<T>(listeners: Iterable<(value: T) => void>, value: T): void {
  for (const listener of [...listeners]) {
    try {
      listener(value)
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }
}
