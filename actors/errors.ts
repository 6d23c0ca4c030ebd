/**
 * Every error that a user can meet, in one table. docs/protocol.md lists the same words; a test holds both together.
 */

interface ErrorKind {
  /** JSON-RPC error code. */
  readonly rpc: number
  /** HTTP status. */
  readonly http: number
  /** Whether the same request may succeed later without being changed. */
  readonly retryable: boolean
  readonly log: 'debug' | 'info' | 'warn' | 'error'
  /** When it happens, and what to do: the text of the reference. */
  readonly meaning: string
}

export const errorKinds = {
  parse_error: { rpc: -32700, http: 400, retryable: false, log: 'debug', meaning: 'The frame is not JSON.' },
  invalid_request: {
    rpc: -32600,
    http: 400,
    retryable: false,
    log: 'debug',
    meaning: 'The JSON is not a JSON-RPC 2.0 request, or the batch is empty or too long.',
  },
  method_not_found: {
    rpc: -32601,
    http: 404,
    retryable: false,
    log: 'debug',
    meaning: 'There is no such method; `rpc.discover` lists them.',
  },
  invalid_params: {
    rpc: -32602,
    http: 400,
    retryable: false,
    log: 'debug',
    meaning: 'The params do not fit the method; the message names the path.',
  },
  internal: {
    rpc: -32603,
    http: 500,
    retryable: false,
    log: 'error',
    meaning:
      'A fault of the server or of the machine (a guard or assign that threw). Nothing was committed; if only its view threw, `data` says what was done (`outcome` and `applied`, or `created`).',
  },
  not_found: {
    rpc: -32000,
    http: 404,
    retryable: false,
    log: 'debug',
    meaning: 'There is no such session: it was never created, was deleted, or has expired.',
  },
  session_exists: {
    rpc: -32001,
    http: 409,
    retryable: false,
    log: 'debug',
    meaning: 'A session with this id exists; use another id, or `ifExists: "return"`.',
  },
  version_conflict: {
    rpc: -32002,
    http: 409,
    retryable: false,
    log: 'debug',
    meaning: 'The session is not at `ifVersion`; `data` holds its position. Read it again and decide anew.',
  },
  key_reused: {
    rpc: -32003,
    http: 422,
    retryable: false,
    log: 'debug',
    meaning: 'The command key was used for another event before. Use a new key for each event.',
  },
  event_invalid: {
    rpc: -32004,
    http: 422,
    retryable: false,
    log: 'debug',
    meaning: 'The event or input does not fit the definition; the message names the path.',
  },
  event_reserved: {
    rpc: -32005,
    http: 422,
    retryable: false,
    log: 'debug',
    meaning:
      'Event types `*`, `xstate.…`, `@xstate.…` and `troupe.…` belong to the machine itself and to the runtime.',
  },
  session_ended: {
    rpc: -32006,
    http: 409,
    retryable: false,
    log: 'debug',
    meaning: 'The machine has reached its end and takes no more events.',
  },
  unknown_machine: {
    rpc: -32007,
    http: 404,
    retryable: false,
    log: 'debug',
    meaning: 'No definition of this name is served here.',
  },
  unknown_machine_version: {
    rpc: -32008,
    http: 503,
    retryable: true,
    log: 'warn',
    meaning: 'The session belongs to a version of its definition that this process does not know.',
  },
  unauthenticated: {
    rpc: -32009,
    http: 401,
    retryable: false,
    log: 'debug',
    meaning: 'The call needs an authenticated principal.',
  },
  forbidden: {
    rpc: -32010,
    http: 403,
    retryable: false,
    log: 'debug',
    meaning: 'The principal may not do this.',
  },
  rate_limited: {
    rpc: -32011,
    http: 429,
    retryable: true,
    log: 'debug',
    meaning: 'Too many requests. Surely not applied.',
  },
  too_large: {
    rpc: -32012,
    http: 413,
    retryable: false,
    log: 'debug',
    meaning: 'The event, message or resulting session is larger than the limit. Nothing was changed.',
  },
  contention: {
    rpc: -32013,
    http: 503,
    retryable: true,
    log: 'info',
    meaning: 'Too many writers at this session at once. Surely not applied.',
  },
  unavailable: {
    rpc: -32014,
    http: 503,
    retryable: true,
    log: 'debug',
    meaning:
      'Redis cannot be reached or refuses writes; of a list of sessions: PostgreSQL cannot. Surely not applied.',
  },
  draining: {
    rpc: -32015,
    http: 503,
    retryable: true,
    log: 'debug',
    meaning: 'This process is about to leave. Surely not applied: reconnect and send it again.',
  },
  timeout: {
    rpc: -32016,
    http: 504,
    retryable: true,
    log: 'warn',
    meaning:
      'No answer in time. With `data.outcome: "unknown"` it may have been applied: ask again with the same key.',
  },
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof errorKinds

/** The one error class of the project: a stable word, a sentence for people, and details for programs. */
export class TroupeError extends Error {
  readonly code: ErrorCode
  /** Further members of the JSON-RPC error's `data`. */
  readonly details: Readonly<Record<string, unknown>>

  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'TroupeError'
    this.code = code
    this.details = options.details ?? {}
  }

  get retryable(): boolean {
    return errorKinds[this.code].retryable
  }
}

/** The sentence of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  // Also what a record holds of an error.
  const message =
    typeof thrown === 'object' && thrown !== null ? (thrown as { message?: unknown }).message : undefined
  if (typeof message === 'string') return message
  try {
    return String(thrown)
  } catch {
    return 'something was thrown that has no text'
  }
}
