/**
 * Gathers the store entries of one tick into calls, and finds out what became of a call whose reply was lost: the
 * same entries, with the same commit numbers, are asked again until there is an answer (CM4), for at most a minute.
 */
import { StoreFailure } from '../../actors/ports.ts'
import type { Clock, Logger, SessionStore, StoreEntry, StoreOutcome } from '../../actors/ports.ts'
import { sleep } from '../clock.ts'
import { withoutWriting, wouldWrite } from './gated-entry.ts'

const MAX_ENTRIES = 128
const MAX_BYTES = 256 * 1024
/**
 * Calls under way at once. More would make them smaller: what waits meanwhile goes out together. Those whose reply was
 * lost do not count: while they ask again, others must learn that Redis is away, and not wait for a minute.
 */
const MAX_CALLS = 2
const RESOLVE_MS = 60_000
const RETRY_MS = 100

interface Waiting {
  readonly entry: StoreEntry
  readonly resolve: (outcome: StoreOutcome) => void
  readonly reject: (failure: unknown) => void
}

export class Committer {
  readonly #store: SessionStore
  readonly #clock: Clock
  readonly #log: Logger
  /** Why no writes are taken now; `null`: they are. */
  readonly #refusal: () => string | null
  #waiting: Waiting[] = []
  #isScheduled = false
  #calls = 0

  constructor(store: SessionStore, clock: Clock, log: Logger, refusal: () => string | null = () => null) {
    this.#store = store
    this.#clock = clock
    this.#log = log
    this.#refusal = refusal
  }

  /** @throws StoreFailure `unknown` only after a minute without an answer */
  submit(entry: StoreEntry): Promise<StoreOutcome> {
    const refusal = this.#refusal()
    const question = refusal === null ? null : withoutWriting(entry)
    if (refusal === null || question === null) return this.#submit(entry)
    return this.#submit(question).then((outcome) =>
      wouldWrite(entry, outcome) ? { kind: 'refused', retryable: true, message: refusal } : outcome,
    )
  }

  #submit(entry: StoreEntry): Promise<StoreOutcome> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entry, resolve, reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#isScheduled || this.#calls >= MAX_CALLS) return
    this.#isScheduled = true
    // After the poll phase: all that the sockets brought in this turn of the event loop goes into one call.
    setImmediate(() => {
      this.#isScheduled = false
      while (this.#waiting.length > 0 && this.#calls < MAX_CALLS) void this.#call(this.#take())
    })
  }

  #take(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const { entry } of this.#waiting) {
      bytes += sizeOf(entry)
      if (count > 0 && (bytes > MAX_BYTES || count === MAX_ENTRIES)) break
      count++
    }
    if (count === this.#waiting.length) {
      const all = this.#waiting
      this.#waiting = []
      return all
    }
    return this.#waiting.splice(0, count)
  }

  async #call(batch: readonly Waiting[]): Promise<void> {
    this.#calls++
    const entries = batch.map(({ entry }) => entry)
    const reply = this.#store.execute(entries).finally(() => {
      this.#calls--
      if (this.#waiting.length > 0) this.#schedule()
    })
    try {
      const outcomes = await reply.catch((failure: unknown) => this.#resolve(entries, failure))
      batch.forEach(({ resolve, reject }, index) => {
        const outcome = outcomes[index]
        if (outcome === undefined)
          reject(new StoreFailure('unknown', 'the store gave no answer for this entry'))
        else resolve(outcome)
      })
    } catch (failure) {
      for (const { reject } of batch) reject(failure)
    }
  }

  async #resolve(entries: readonly StoreEntry[], failure: unknown): Promise<StoreOutcome[]> {
    if (!(failure instanceof StoreFailure) || failure.effect !== 'unknown') throw failure
    this.#log.warn(
      { entries: entries.length, reason: failure.message },
      'the reply of a commit was lost; asking again',
    )
    const deadline = this.#clock.now() + RESOLVE_MS
    while (this.#clock.now() < deadline) {
      await sleep(this.#clock, RETRY_MS)
      try {
        const outcomes = await this.#store.execute(entries)
        // The first copy may be on its way still, and find the server willing.
        if (!outcomes.some(({ kind }) => kind === 'refused')) return outcomes
      } catch (again) {
        // That this attempt was not applied says nothing about the first one.
        this.#log.debug({ reason: String(again) }, 'still no answer')
      }
    }
    throw failure
  }
}

/** About how many bytes an entry adds to a call. */
function sizeOf(entry: StoreEntry): number {
  let size = 300
  if (entry.kind !== 'commit') return size
  size += entry.internals.length + entry.events.length
  for (const { audit, state } of entry.transitions) size += audit.length + state.length
  return size
}
