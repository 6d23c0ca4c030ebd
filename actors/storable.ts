/**
 * What JSON would change silently must not get into a record: the machine that goes on from the record would be
 * another than the one that made it.
 */

/** @returns where the value holds something that JSON does not keep (`items[2].at: a Date`), or `null`. */
export function findUnstorable(value: unknown, path = ''): string | null {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return null
    case 'number':
      return Number.isFinite(value) ? null : at(path, String(value))
    case 'object':
      return value === null ? null : findInObject(value, path, [])
    default:
      return at(path, `a ${typeof value}`)
  }
}

function findInObject(value: object, path: string, above: object[]): string | null {
  if (above.includes(value)) return at(path, 'a cycle')
  const prototype: unknown = Object.getPrototypeOf(value)
  const isArray = Array.isArray(value)
  if (!isArray && prototype !== Object.prototype && prototype !== null) {
    const { constructor } = value as { constructor?: { name?: string } }
    return at(path, `a ${constructor?.name || 'class instance'}`)
  }
  above.push(value)
  let members = 0
  for (const key in value) {
    members++
    const member = (value as Record<string, unknown>)[key]
    if (typeof member === 'string' || typeof member === 'boolean' || member === null) continue
    if (typeof member === 'number' && Number.isFinite(member)) continue
    // JSON leaves such a member out, which is what it means in an object; in an array it would become null.
    if (member === undefined && !isArray) continue
    const memberPath = isArray ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
    const found =
      typeof member === 'object'
        ? findInObject(member as object, memberPath, above)
        : findUnstorable(member, memberPath)
    if (found !== null) return found
  }
  above.pop()
  // JSON would fill a hole with null.
  if (isArray && members < value.length) return at(path, 'an array with holes')
  return null
}

function at(path: string, what: string): string {
  return `${path === '' ? '(root)' : path}: ${what}`
}

/** In JSON text: NUL, or half a surrogate pair, after an even number of backslashes. PostgreSQL takes neither. */
const UNSTORABLE_CHARACTER = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/i

/** Whether JSON text holds a character that the audit could not: NUL, or half of a surrogate pair. */
export function hasUnstorableCharacter(json: string): boolean {
  return json.includes('\\u') && UNSTORABLE_CHARACTER.test(json)
}

/** The text without what {@link hasUnstorableCharacter} finds. */
export function storableText(text: string): string {
  return text.replace(/\p{Cs}|\0/gu, '\ufffd')
}

/** What remains of an error in a record. */
export function describeError({ name, message }: Error): { name: string; message: string } {
  return { name, message }
}
