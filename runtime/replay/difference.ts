/** Where two values of JSON differ. */

export interface Difference {
  /** `context.items[2].sku`. */
  readonly path: string
  /** `undefined`: it is not there. */
  readonly stored: unknown
  readonly replayed: unknown
}

/** The first difference, members in the order of what is stored; `null`: they are equal. Order of members does not count. */
export function firstDifference(stored: unknown, replayed: unknown, path: string): Difference | null {
  if (Object.is(stored, replayed)) return null
  if (typeof stored !== 'object' || typeof replayed !== 'object' || stored === null || replayed === null)
    return stored === replayed ? null : { path, stored, replayed }
  const isArray = Array.isArray(stored)
  if (isArray !== Array.isArray(replayed)) return { path, stored, replayed }
  const [ofStored, ofReplayed] = [stored, replayed] as Readonly<Record<string, unknown>>[]
  for (const key of new Set([...Object.keys(stored), ...Object.keys(replayed)])) {
    const at = isArray ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
    const found = firstDifference(own(ofStored, key), own(ofReplayed, key), at)
    if (found !== null) return found
  }
  return null
}

function own(object: Readonly<Record<string, unknown>> | undefined, key: string): unknown {
  return object !== undefined && Object.hasOwn(object, key) ? object[key] : undefined
}
