/** How one turn bears losing: when it asks for the next turn, and when it gives up. */
import { TroupeError } from '../../actors/errors.ts'
import type { Clock, StoreEntry, StoreOutcome } from '../../actors/ports.ts'
import { sleep } from '../clock.ts'
import type { HostParts } from './host-parts.ts'

/** Losing often is normal under contention, so time decides and not a count. */
const CONTENTION_MS = 2000
const LOSSES_BEFORE_RESERVING = 2

export class Patience {
  readonly #clock: Clock
  /** Counts from the first loss: how long Redis took before says nothing of other writers. */
  #deadline: number | null = null
  #losses = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Others were faster. @throws TroupeError `contention` */
  lose(): void {
    this.#losses++
    this.check()
  }

  /** @throws TroupeError `contention` */
  check(): void {
    this.#deadline ??= this.#clock.now() + CONTENTION_MS
    if (this.#clock.now() < this.#deadline) return
    throw new TroupeError('contention', 'too many writers at this session; send the request again')
  }

  get reserves(): boolean {
    return this.#losses >= LOSSES_BEFORE_RESERVING
  }
}

/**
 * Submits an entry, again as long as another process has the turn. It stays the same entry with the same number: if its
 * first reply was lost, a copy of it may still be on its way.
 */
export async function submitInTurn(
  parts: HostParts,
  entry: StoreEntry,
  patience: Patience,
): Promise<Exclude<StoreOutcome, { kind: 'wait' }>> {
  for (;;) {
    const outcome = await parts.committer.submit(entry)
    if (outcome.kind !== 'wait') return outcome
    patience.check()
    await sleep(parts.clock, outcome.ms)
  }
}
