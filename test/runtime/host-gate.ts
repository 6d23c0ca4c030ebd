/** A door between host and store: holds calls back, lets them go, and counts what went through. */
import type { SessionStore, StoreEntry, StoreOutcome } from '../../actors/ports.ts'

export class Gate {
  /** Calls that went through to the store, as their entries. */
  readonly calls: (readonly StoreEntry[])[] = []
  #waiting: (() => void)[] = []
  #isShut = false

  readonly wrap = (store: SessionStore): SessionStore => ({
    node: store.node,
    execute: async (entries): Promise<StoreOutcome[]> => {
      if (this.#isShut) await new Promise<void>((resolve) => this.#waiting.push(resolve))
      this.calls.push(entries)
      return store.execute(entries)
    },
    read: (id) => store.read(id),
    positions: (ids) => store.positions(ids),
    broadcast: (id, message) => store.broadcast(id, message),
    due: (partition, horizonMs, limit) => store.due(partition, horizonMs, limit),
    renew: (partition, ids, leaseMs) => store.renew(partition, ids, leaseMs),
    now: () => store.now(),
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
