/** Commits of baskets as the server makes them, for the benches that need no server. */
import { partitionOf } from '../../actors/partitions.ts'
import type { StoreEntry } from '../../actors/ports.ts'
import type { Position, SessionId } from '../../actors/session.ts'
import type { RedisSessionStore } from '../../persistence/redis-session-store.ts'
import { createBasket, nthEvent } from './basket-session.ts'

const TTL_MS = 3_600_000
const { record } = createBasket()
const event = JSON.stringify(nthEvent(1))

let commitNumber = 0

/** Baskets that are committed together, by the store alone: nothing is computed. */
export class BasketCommits {
  readonly #store: RedisSessionStore
  readonly #ids: readonly SessionId[]
  #bases: (Position | null)[]

  constructor(store: RedisSessionStore, name: string, size: number) {
    this.#store = store
    this.#ids = Array.from({ length: size }, (_, n) => `${name}-${n}` as SessionId)
    this.#bases = this.#ids.map(() => null)
  }

  get partitions(): readonly number[] {
    return this.#ids.map(partitionOf)
  }

  create(): Promise<void> {
    return this.#commit('created')
  }

  update(): Promise<void> {
    return this.#commit('event')
  }

  async #commit(kind: 'created' | 'event'): Promise<void> {
    const entries = this.#ids.map((id, n) => entryOf(id, this.#bases[n] ?? null, kind))
    const outcomes = await this.#store.execute(entries)
    this.#bases = outcomes.map((outcome) => {
      if (outcome.kind !== 'committed') throw new Error(`a commit was answered ${outcome.kind}`)
      return { epoch: outcome.epoch, version: outcome.version }
    })
  }
}

function entryOf(id: SessionId, base: Position | null, kind: 'created' | 'event'): StoreEntry {
  return {
    kind: 'commit',
    id,
    keys: [],
    reserve: false,
    number: ++commitNumber,
    base,
    machine: 'basket',
    machineVersion: 1,
    ttlMs: TTL_MS,
    doneTtlMs: TTL_MS,
    done: false,
    transitions: [
      {
        kind,
        audit: `{"machine":"basket","machineVersion":1,"node":"bench1","event":${event},"from":"open"}`,
        state: record.state,
        key: null,
        mail: [],
      },
    ],
    internals: record.internals,
    timers: '-',
    runs: '-',
    firesAt: null,
    events: '["SET_QUANTITY"]',
    emitted: [],
    history: 0,
  }
}
