/** A replayed state beside the stored one. */
import type { PublicState } from '../../actors/session.ts'
import type { RecordedTransition } from '../../persistence/audit/recorded.ts'
import { firstDifference } from './difference.ts'
import type { Difference } from './difference.ts'

type Member = 'status' | 'value' | 'context' | 'tags' | 'output'

/** In which order they are looked at: what a machine is in says more than what it knows. */
const members: readonly Member[] = ['status', 'value', 'context', 'tags', 'output']
const ofStates: readonly Member[] = ['status', 'value']

/** What of a state the row does not hold, or not as it was. */
export function missingIn(row: RecordedTransition, statesOnly: boolean): Member[] {
  // Most machines have no output.
  return (statesOnly ? ofStates : members).filter(
    (name) => row.redacted.includes(name) || (name !== 'output' && (row[name] ?? undefined) === undefined),
  )
}

/** The first difference in what the row holds; `null`: there is none. */
export function differenceFrom(
  row: RecordedTransition,
  state: string,
  statesOnly: boolean,
): Difference | null {
  const replayed = JSON.parse(state) as Partial<PublicState>
  const missing = new Set(missingIn(row, statesOnly))
  for (const name of statesOnly ? ofStates : members) {
    if (missing.has(name)) continue
    const found = firstDifference(row[name], replayed[name], name)
    if (found !== null) return found
  }
  return null
}
