/**
 * Entries of the outbox, as `commit.lua` appends them, and the rows of the audit that they become. An entry has three
 * fields, because each one costs Redis and its reader as much as the text in it:
 *
 * - `h`: `<session id> <epoch> <version> <commit id> <commit id before it, or -> <kind> <time in ms>`
 * - `m`: what happened, JSON
 * - `s`: the public state after it, JSON; empty where the session ended by it
 *
 * All three are handed to PostgreSQL as they are, byte for byte; `m` and `s` are not even decoded here. What is checked
 * is only what PostgreSQL could not file under a key, and that the texts are one line each, as all JSON text of ours
 * is: they are sent as lines.
 */

/** One entry as read from the stream: its id and its fields, names and values in turn. */
export interface OutboxEntry {
  readonly partition: number
  readonly streamId: string
  readonly fields: readonly Buffer[]
}

/** One transition, ready to be written. */
export interface AuditRow {
  readonly partition: number
  readonly streamId: string
  /** `h` as it is. */
  readonly header: Buffer
  readonly sessionId: string
  readonly epoch: string
  readonly version: string
  readonly commitId: string
  /** Redis time of the commit in milliseconds, decimal text. */
  readonly timeMs: string
  readonly kind: string
  /** JSON text, see docs/spec.md. */
  readonly audit: Buffer
  /** JSON text of the public state after it; empty where the session ended by it. */
  readonly state: Buffer
}

export type ParsedEntry =
  | { readonly kind: 'row'; readonly row: AuditRow }
  | {
      readonly kind: 'reject'
      readonly partition: number
      readonly streamId: string
      readonly reason: string
    }

/**
 * The words of `h` in their order, and what each must be. All of it is printable ASCII: it is read as latin1, where
 * every byte is one character.
 */
const words = [
  { pattern: '[!-~]+', longest: 200, problem: 'is not a session id' },
  { pattern: '0|[1-9][0-9]*', longest: 18, problem: 'is not an epoch (decimal, at most 18 digits)' },
  { pattern: '0|[1-9][0-9]*', longest: 18, problem: 'is not a version (decimal, at most 18 digits)' },
  { pattern: '[!-~]+', longest: 200, problem: 'is not a commit id' },
  { pattern: '[!-~]+', longest: 200, problem: 'is not the commit id before it, or -' },
  { pattern: '[a-z][a-z-]*', longest: 40, problem: 'is not a kind of transition' },
  // Milliseconds up to the year 5138: what lies beyond is no time of a commit, and no day of a partition.
  { pattern: '0|[1-9][0-9]*', longest: 14, problem: 'is not a time in milliseconds' },
]

/** All words at once. Lengths are compared after: counting them here would make it three times as slow. */
const HEADER = new RegExp(`^${words.map(({ pattern }) => `(${pattern})`).join(' ')}$`)

const LINE_FEED = 10

/** Checks the fields that are keys and numbers; says which one is wrong. Runs for every row: no spreads, no closures. */
export function parseEntry({ partition, streamId, fields }: OutboxEntry): ParsedEntry {
  const [h, header, m, audit, s, state] = fields
  const isWhole = isName(h, 'h') && isName(m, 'm') && isName(s, 's')
  const found = isWhole ? HEADER.exec(header?.toString('latin1') ?? '') : null
  if (header === undefined || found === null || !areShort(found) || !isText(audit) || !isLine(state))
    return { kind: 'reject', partition, streamId, reason: problemOf(fields) }
  const row: AuditRow = {
    partition,
    streamId,
    header,
    sessionId: found[1] ?? '',
    epoch: found[2] ?? '',
    version: found[3] ?? '',
    commitId: found[4] ?? '',
    kind: found[6] ?? '',
    timeMs: found[7] ?? '',
    audit,
    state,
  }
  return { kind: 'row', row }
}

/** What an entry says of itself before it was checked, byte for byte; empty where it says nothing. */
export function describeRaw(fields: readonly Buffer[]): { sessionId: Buffer; commitId: Buffer } {
  const at = fields.findIndex((field, index) => index % 2 === 0 && isName(field, 'h'))
  const header = (at < 0 ? undefined : fields[at + 1])?.toString('latin1') ?? ''
  const [sessionId = '', , , commitId = ''] = header.split(' ')
  return { sessionId: Buffer.from(sessionId, 'latin1'), commitId: Buffer.from(commitId, 'latin1') }
}

function isName(field: Buffer | undefined, letter: string): boolean {
  return field?.length === 1 && field[0] === letter.charCodeAt(0)
}

function isLine(field: Buffer | undefined): field is Buffer {
  return field !== undefined && !field.includes(LINE_FEED)
}

function isText(field: Buffer | undefined): field is Buffer {
  return isLine(field) && field.length > 0
}

function areShort(found: readonly string[]): boolean {
  for (let at = 0; at < words.length; at++) {
    if ((found[at + 1]?.length ?? 0) > (words[at]?.longest ?? 0)) return false
  }
  return true
}

function problemOf(fields: readonly Buffer[]): string {
  const missing = ['h', 'm', 's'].find((name, index) => !isName(fields[2 * index], name))
  if (missing !== undefined) return `field ${missing} is missing`
  const [, header, , audit, , state] = fields
  if (audit?.length === 0) return 'field m is empty'
  if (!isLine(audit)) return 'field m holds a line feed'
  if (!isLine(state)) return 'field s holds a line feed'
  const found = header?.toString('latin1').split(' ') ?? []
  const wrong = words.findIndex(({ pattern, longest }, index) => {
    const word = found[index] ?? ''
    return word.length > longest || !new RegExp(`^(?:${pattern})$`).test(word)
  })
  if (wrong < 0) return `field h has ${found.length} words instead of ${words.length}`
  return `field h: word ${wrong + 1} ${words[wrong]?.problem ?? 'is wrong'}`
}
