/** What breaks a rule: the one error that a case throws on purpose. */
import { isDeepStrictEqual } from 'node:util'

export class Broken extends Error {}

export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

/** @throws Broken */
export function check(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Broken(otherwise)
}

/** @throws Broken unless both are the same JSON */
export function same(what: string, found: unknown, wanted: unknown): void {
  if (!isDeepStrictEqual(found, wanted))
    throw new Broken(`${what}: ${shown(found)} instead of ${shown(wanted)}`)
}
