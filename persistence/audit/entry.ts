/**
 * Entries of the outbox, as `commit.lua` appends them, and the rows of the audit that they become. An entry has three
 * fields, because each one costs Redis and its reader as much as the text in it:
 *
 * - `h`: `<session id> <epoch> <version> <commit id> <commit id before it, or -> <time in ms> <kind>`
 * - `m`: what happened, JSON
 * - `s`: the public state after it, JSON; empty where the session ended by it
 *
 * `m` and `s` are handed to PostgreSQL as they are: this side never parses them. What is checked here is only what
 * PostgreSQL could not file under a key, and that the texts are one line each, as all JSON text of ours is: they are
 * sent as lines.
 */

/** One entry as read from the stream: its id and its fields, names and values in turn. */
export interface OutboxEntry {
  readonly partition: number
  readonly streamId: string
  readonly fields: readonly string[]
}

/** One transition, ready to be written. */
export interface AuditRow {
  readonly partition: number
  readonly streamId: string
  readonly sessionId: string
  readonly epoch: string
  readonly version: string
  readonly commitId: string
  /** `-`: none. */
  readonly previousCommitId: string
  /** Redis time of the commit in milliseconds, decimal text. */
  readonly timeMs: string
  readonly kind: string
  /** JSON text, see docs/spec.md. */
  readonly audit: string
  /** JSON text of the public state after it; empty where the session ended by it. */
  readonly state: string
}

export type ParsedEntry =
  | { readonly kind: 'row'; readonly row: AuditRow }
  | {
      readonly kind: 'reject'
      readonly partition: number
      readonly streamId: string
      readonly reason: string
    }

/** Printable ASCII, so that what was read is surely what was stored (invalid UTF-8 is replaced when read). */
const WORD = '[\\x21-\\x7e]{1,200}'
const DECIMAL = '0|[1-9][0-9]{0,17}'
/** Milliseconds up to the year 5138: what lies beyond is no time of a commit, and no day of a partition. */
const TIME = '0|[1-9][0-9]{0,13}'
const KIND = '[a-z][a-z-]{0,39}'

/** The words of `h` in their order, and what each must be. */
const words = [
  { pattern: WORD, problem: 'is not a session id' },
  { pattern: DECIMAL, problem: 'is not an epoch (decimal, at most 18 digits)' },
  { pattern: DECIMAL, problem: 'is not a version (decimal, at most 18 digits)' },
  { pattern: WORD, problem: 'is not a commit id' },
  { pattern: WORD, problem: 'is not the commit id before it, or -' },
  { pattern: TIME, problem: 'is not a time in milliseconds' },
  { pattern: KIND, problem: 'is not a kind of transition' },
].map(({ pattern, problem }) => ({ pattern, problem, only: new RegExp(`^(?:${pattern})$`) }))

const HEADER = new RegExp(`^${words.map(({ pattern }) => `(${pattern})`).join(' ')}$`)

/** Checks the fields that are keys and numbers; says which one is wrong. */
export function parseEntry({ partition, streamId, fields }: OutboxEntry): ParsedEntry {
  const reject = (reason: string): ParsedEntry => ({ kind: 'reject', partition, streamId, reason })
  const header = fieldOf(fields, 'h')
  if (header === undefined) return reject('field h is missing')
  const found = HEADER.exec(header)
  if (found === null) return reject(problemOf(header))
  const audit = fieldOf(fields, 'm')
  if (audit === undefined) return reject('field m is missing')
  if (audit === '') return reject('field m is empty')
  if (audit.includes('\n')) return reject('field m holds a line feed')
  const state = fieldOf(fields, 's')
  if (state === undefined) return reject('field s is missing')
  if (state.includes('\n')) return reject('field s holds a line feed')
  const [
    ,
    sessionId = '',
    epoch = '',
    version = '',
    commitId = '',
    previousCommitId = '',
    timeMs = '',
    kind = '',
  ] = found
  return {
    kind: 'row',
    row: {
      ...{ partition, streamId, sessionId, epoch, version, commitId, previousCommitId, timeMs, kind },
      ...{ audit, state },
    },
  }
}

/** What an entry says of itself before it was checked, byte for byte; empty where it says nothing. */
export function describeRaw(fields: readonly Buffer[]): { sessionId: Buffer; commitId: Buffer } {
  const at = fields.findIndex((field, index) => index % 2 === 0 && field.toString('latin1') === 'h')
  const header = (at < 0 ? undefined : fields[at + 1])?.toString('latin1') ?? ''
  const [sessionId = '', , , commitId = ''] = header.split(' ')
  return { sessionId: Buffer.from(sessionId, 'latin1'), commitId: Buffer.from(commitId, 'latin1') }
}

function fieldOf(fields: readonly string[], name: string): string | undefined {
  for (let at = 0; at + 1 < fields.length; at += 2) if (fields[at] === name) return fields[at + 1]
  return undefined
}

function problemOf(header: string): string {
  const found = header.split(' ')
  const wrong = words.findIndex(({ only }, index) => !only.test(found[index] ?? ''))
  if (wrong < 0) return `field h has ${found.length} words instead of ${words.length}`
  return `field h: word ${wrong + 1} ${words[wrong]?.problem ?? 'is wrong'}`
}
