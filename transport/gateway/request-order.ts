/**
 * Requests of one connection for one session take effect in the order sent, within and across batches.
 *
 * Writes may be handed on without waiting for earlier writes, because the service keeps their order (and commits
 * several together); so may reads among reads. Everything else waits until what was sent before it is answered.
 */

/** `write` and `read` run beside their own kind; `alone` beside nothing. */
export type OrderKind = 'write' | 'read' | 'alone'

interface Turn {
  readonly kind: OrderKind
  readonly start: () => void
}

interface Lane {
  kind: OrderKind
  running: number
  waiting: Turn[] | null
}

/** Of one connection. Whoever calls {@link enter} must call {@link leave} once when the request is over. */
export class RequestOrder {
  readonly #lanes = new Map<string, Lane>()

  /** Sessions with requests under way. */
  get size(): number {
    return this.#lanes.size
  }

  /** Calls `start` as soon as it is this request's turn: at once if nothing is in its way. */
  enter(id: string, kind: OrderKind, start: () => void): void {
    const lane = this.#lanes.get(id)
    if (lane === undefined) {
      this.#lanes.set(id, { kind, running: 1, waiting: null })
      start()
    } else if (lane.waiting === null && lane.kind === kind && kind !== 'alone') {
      lane.running++
      start()
    } else {
      lane.waiting ??= []
      lane.waiting.push({ kind, start })
    }
  }

  leave(id: string): void {
    const lane = this.#lanes.get(id)
    if (lane === undefined || --lane.running > 0) return
    if (lane.waiting === null) {
      this.#lanes.delete(id)
      return
    }
    // `start` may call `leave` at once, so the lane is put in order first.
    const [first] = lane.waiting as [Turn, ...Turn[]]
    let count = 1
    while (first.kind !== 'alone' && lane.waiting[count]?.kind === first.kind) count++
    const next = lane.waiting.slice(0, count)
    lane.waiting = lane.waiting.length > count ? lane.waiting.slice(count) : null
    lane.kind = first.kind
    lane.running = count
    for (const turn of next) turn.start()
  }
}
