/**
 * Entries of the outbox, as `commit.lua` appends them, and the rows of the audit that they become.
 *
 * The texts `m` (what happened) and `s` (the public state after it) are handed to PostgreSQL as they are: this side
 * never parses them. What is checked here is only what PostgreSQL could not file under a key, and that the texts are
 * one line each, as all JSON text of ours is: they are sent as lines.
 */

/** One entry as read from the stream: its id and its fields, names and values in turn. */
export interface OutboxEntry {
  readonly streamId: string
  readonly fields: readonly string[]
}

/** One transition, ready to be written. */
export interface AuditRow {
  readonly streamId: string
  readonly sessionId: string
  readonly epoch: string
  readonly version: string
  readonly commitId: string
  readonly previousCommitId: string | null
  /** Redis time of the commit in milliseconds, decimal text. */
  readonly timeMs: string
  readonly kind: string
  /** JSON text, see docs/spec.md. */
  readonly audit: string
  /** JSON text of the public state after it; `null` where the session ended by it. */
  readonly state: string | null
}

export type ParsedEntry =
  | { readonly kind: 'row'; readonly row: AuditRow }
  | { readonly kind: 'reject'; readonly streamId: string; readonly reason: string }

const DECIMAL = /^(0|[1-9][0-9]{0,17})$/
/** Milliseconds up to the year 5138: what lies beyond is no time of a commit, and no day of a partition. */
const TIME = /^(0|[1-9][0-9]{0,13})$/
/** Printable ASCII, so that what was read is surely what was stored (invalid UTF-8 is replaced when read). */
const WORD = /^[\x21-\x7e]{1,200}$/
const KIND = /^[a-z][a-z-]{0,39}$/

/** Checks the fields that are keys and numbers; says which one is wrong. */
export function parseEntry({ streamId, fields }: OutboxEntry): ParsedEntry {
  const values = new Map<string, string>()
  for (let at = 0; at + 1 < fields.length; at += 2) values.set(fields[at] ?? '', fields[at + 1] ?? '')
  const reject = (name: string, problem: string): ParsedEntry => ({
    kind: 'reject',
    streamId,
    reason: `field ${name} ${values.has(name) ? problem : 'is missing'}`,
  })
  const text = (name: string): string => values.get(name) ?? ''

  if (!WORD.test(text('i'))) return reject('i', 'is not a session id')
  if (!DECIMAL.test(text('e'))) return reject('e', 'is not an epoch (decimal, at most 18 digits)')
  if (!DECIMAL.test(text('v'))) return reject('v', 'is not a version (decimal, at most 18 digits)')
  if (!WORD.test(text('c'))) return reject('c', 'is not a commit id')
  const previous = values.get('p')
  if (previous === undefined || (previous !== '' && !WORD.test(previous)))
    return reject('p', 'is not a commit id')
  if (!TIME.test(text('t'))) return reject('t', 'is not a time in milliseconds')
  if (!KIND.test(text('k'))) return reject('k', 'is not a kind of transition')
  if (text('m') === '') return reject('m', 'is empty')
  if (text('m').includes('\n')) return reject('m', 'holds a line feed')
  const state = values.get('s')
  if (state === undefined) return reject('s', 'is missing')
  if (state.includes('\n')) return reject('s', 'holds a line feed')
  return {
    kind: 'row',
    row: {
      streamId,
      sessionId: text('i'),
      epoch: text('e'),
      version: text('v'),
      commitId: text('c'),
      previousCommitId: previous === '' ? null : previous,
      timeMs: text('t'),
      kind: text('k'),
      audit: text('m'),
      state: state === '' ? null : state,
    },
  }
}
