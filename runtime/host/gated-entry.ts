/** What is asked of the store while no writes are taken: the same question without the writing. */
import type { StoreEntry, StoreOutcome } from '../../actors/ports.ts'

/**
 * A commit or deletion as a check. So that a key that was committed before is still answered as what it is, a session that is not there
 * as missing, and one that has gone on is computed again. `null`: it is a check anyway, or an expiry, which frees memory.
 */
export function withoutWriting(entry: StoreEntry): StoreEntry | null {
  if (entry.kind === 'check' || (entry.kind === 'end' && entry.reason === 'expired')) return null
  return { kind: 'check', id: entry.id, keys: entry.keys, reserve: false, base: entry.base ?? null }
}

/** Whether it would have been written: then it is to be sent again later. */
export function wouldWrite(entry: StoreEntry, outcome: StoreOutcome): boolean {
  if (outcome.kind === 'current') return true
  const isCreation = entry.kind === 'commit' && entry.base === null
  if (outcome.kind === 'gone') return isCreation
  // A deletion wherever the session is.
  return outcome.kind === 'stale' && entry.kind === 'end' && !entry.base
}
