/** Which promise actors are to run after a step, and which process has which. */
import type { Live, Run } from './plan.ts'
import type { Outcome } from './stepper.ts'

/** Taken once: chance that a replay gives to machines is none of the kernel's. */
const newEffectKey = globalThis.crypto.randomUUID.bind(globalThis.crypto)

/** The promises that go on after a step, and those that it has made, under keys of their own. */
export function nextRuns(
  before: Pick<Live, 'runs' | 'nextKey'>,
  { made, pathOf, isKept }: Outcome,
): Pick<Live, 'runs' | 'nextKey'> {
  let { runs, nextKey } = before
  const kept = runs.filter(({ path }) => isKept(path))
  if (kept.length < runs.length) runs = kept
  for (const self of made) {
    const path = pathOf(self)
    // One that was stopped within the step never runs.
    if (path === null) continue
    runs = [...runs, { key: nextKey++, path, effectKey: newEffectKey(), attempt: 1 }]
  }
  return { runs, nextKey }
}

/** The word of a record that tells who runs what: `;<key>:<node>`…, or `-`. What is not in `known` is `node`'s. */
export function encodeRuns(runs: readonly Run[], known: string, node: string): string {
  if (runs.length === 0) return '-'
  const owners = new Map(ownersIn(known).map((each) => [each.key, each.node]))
  return runs.map(({ key }) => `;${key}:${owners.get(key) ?? node}`).join('')
}

/** What such a word tells. */
export function ownersIn(word: string): { key: number; node: string }[] {
  if (word === '-') return []
  return word
    .slice(1)
    .split(';')
    .map((each) => {
      const [key, node] = each.split(':')
      return { key: Number(key), node: node ?? '' }
    })
}
