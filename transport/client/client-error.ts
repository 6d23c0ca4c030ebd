/** What calls of the client reject with. */
import type { ErrorCode } from '../../actors/errors.ts'

/**
 * A word of the table in docs/protocol.md, or one of the client's own: `closed`: the client was closed, or the server told it to
 * stay away; `queue_full`: more requests wait than `maxQueued`.
 */
export type ClientErrorCode = ErrorCode | 'closed' | 'queue_full'

/** What is known of a request that failed: surely without effect, or not known. */
export type Outcome = 'not_applied' | 'unknown'

export class ClientError extends Error {
  override readonly name = 'ClientError'
  readonly code: ClientErrorCode
  /** Whether the same request may succeed later without being changed. */
  readonly retryable: boolean
  /** Further members of the JSON-RPC error's `data`; `key` is the command key that the request was sent with. */
  readonly data: Readonly<Record<string, unknown>>

  constructor(
    code: ClientErrorCode,
    message: string,
    options: { retryable?: boolean; data?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
    this.data = options.data ?? {}
  }

  /** `unknown`: it may have been applied; send it again with `data.key`. Absent: the code says it. */
  get outcome(): Outcome | undefined {
    const { outcome } = this.data
    return outcome === 'unknown' || outcome === 'not_applied' ? outcome : undefined
  }
}

/** The error object of a reply, as it came over the wire. */
export function errorOfReply(error: unknown): ClientError {
  const { message, data } = error as { message?: unknown; data?: unknown }
  const details = typeof data === 'object' && data !== null ? (data as Record<string, unknown>) : {}
  const { code, retryable, ...rest } = details
  // A limit of a number, such as that of subscriptions: no time is told after which it would be another one.
  const isFull = code === 'rate_limited' && rest['retryAfterMs'] === undefined
  return new ClientError(
    typeof code === 'string' ? (code as ErrorCode) : 'internal',
    typeof message === 'string' ? message : 'the server gave no reason',
    { retryable: retryable === true && !isFull, data: rest },
  )
}
