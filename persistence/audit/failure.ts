/**
 * What a failure of PostgreSQL means for the audit:
 * - `away`: it cannot be reached, is full, starting, stopping or read-only. Waiting helps, so no attempt is used.
 * - `data`: it refuses what a record holds. Waiting does not help; the record is isolated.
 * - `refused`: it refuses the statement as a whole (a missing table, a missing right, a deadlock).
 */
export type FailureKind = 'away' | 'data' | 'refused'

/** Errors of the socket, of name resolution and of a unix socket that is not there. */
const AWAY_SYSTEM = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOENT',
])

/** What pg says, without a code, when a connection is lost, cannot be had in time, or does not answer. */
const AWAY_TEXT =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error|Client was closed|The server does not support SSL)/i

/** Classes 08 connection, 53 resources (disk full, memory, connections), 57P shutdown and start, 58 I/O; 25006 read-only. */
const AWAY_STATE = /^(08...|53...|57P..|58...|25006)$/

/** Classes 22 data, 23 integrity; 54000 a value beyond a limit of the engine. */
const DATA_STATE = /^(22...|23...|54000)$/

export function classifyFailure(error: unknown): FailureKind {
  const code = codeOf(error)
  if (code !== null) {
    if (AWAY_SYSTEM.has(code) || AWAY_STATE.test(code)) return 'away'
    if (DATA_STATE.test(code)) return 'data'
  }
  // Several addresses of one host, each refused.
  if (error instanceof AggregateError)
    return error.errors.every((each) => classifyFailure(each) === 'away') ? 'away' : 'refused'
  return error instanceof Error && AWAY_TEXT.test(error.message) ? 'away' : 'refused'
}

/** SQLSTATE or system error code; `null` if it has none. */
export function codeOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null
  return typeof error.code === 'string' ? error.code : null
}

/** The sentence of a failure with its code, for logs, health and the table of rejects. */
export function reasonOf(error: unknown): string {
  const code = codeOf(error)
  const message =
    error instanceof AggregateError && error.message === ''
      ? error.errors.map((each) => (each instanceof Error ? each.message : String(each))).join('; ')
      : error instanceof Error
        ? error.message
        : String(error)
  return code === null || message.includes(code) ? message : `${message} (${code})`
}
