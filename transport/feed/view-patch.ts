/** What has changed between two views, as JSON Patch (RFC 6902). */
import { isDeepStrictEqual } from 'node:util'
import { createPatch } from 'rfc6902'
import type { Operation } from 'rfc6902'
import type { VoidableDiff } from 'rfc6902/diff.js'

/**
 * @param before as parsed from JSON, as is `after`
 * @returns JSON text of a patch that makes `after` of `before`; `null` if it names a `__proto__`, which no client should follow
 */
export function patchText(before: unknown, after: unknown): string | null {
  const text = JSON.stringify(createPatch(before, after, lists))
  return text.includes('__proto__') ? null : text
}

/**
 * Lists from both ends, and what is left of them element by element. The library's own comparison finds shorter patches where lists
 * were changed in several places, and takes time by the product of their lengths at each level.
 */
const lists: VoidableDiff = (before, after, pointer) => {
  if (!Array.isArray(before) || !Array.isArray(after)) return undefined
  const [old, now] = [before as unknown[], after as unknown[]]
  const shorter = Math.min(old.length, now.length)
  let start = 0
  while (start < shorter && isDeepStrictEqual(old[start], now[start])) start++
  let same = 0
  while (same < shorter - start && isDeepStrictEqual(old.at(-1 - same), now.at(-1 - same))) same++
  const end = shorter - same
  const at = (index: number): string => pointer.add(String(index)).toString()
  const operations: Operation[] = []
  for (let index = start; index < end; index++)
    for (const each of createPatch(old[index], now[index], lists))
      operations.push({ ...each, path: at(index) + each.path })
  for (let count = old.length - same - end; count > 0; count--)
    operations.push({ op: 'remove', path: at(end) })
  for (const [index, value] of now.slice(end, now.length - same).entries())
    operations.push({ op: 'add', path: at(end + index), value })
  return operations
}
