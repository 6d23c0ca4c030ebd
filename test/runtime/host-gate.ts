/** A door between host and store: holds calls back, lets them go, and counts what went through. */
import type { SessionStore, StoreEntry, StoreOutcome } from '../../actors/ports.ts'
import { overriding } from './overriding.ts'

export class Gate {
  /** Calls that went through to the store, as their entries. */
  readonly calls: (readonly StoreEntry[])[] = []
  #waiting: (() => void)[] = []
  #isShut = false

  readonly wrap = (store: SessionStore): SessionStore =>
    overriding(store, {
      execute: async (entries): Promise<StoreOutcome[]> => {
        if (this.#isShut) await new Promise<void>((resolve) => this.#waiting.push(resolve))
        this.calls.push(entries)
        return store.execute(entries)
      },
    })

  /** Calls that stand at the shut door. */
  get waiting(): number {
    return this.#waiting.length
  }

  get commits(): StoreEntry[] {
    return this.calls.flat().filter(({ kind }) => kind === 'commit')
  }

  shut(): void {
    this.#isShut = true
  }

  open(): void {
    this.#isShut = false
    for (const go of this.#waiting.splice(0)) go()
  }
}
