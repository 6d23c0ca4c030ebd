/**
 * Errors as HTTP answers: `application/problem+json` (RFC 9457) with the catalogue's word. The status of a word stands
 * in the catalogue (`http` in actors/errors.ts); what HTTP knows more exactly is an {@link HttpError}.
 */
import { STATUS_CODES, type OutgoingHttpHeaders } from 'node:http'
import { TroupeError, errorKinds, type ErrorCode } from '../../actors/errors.ts'

export const PROBLEM_TYPE = 'application/problem+json'

/** Seconds after which what is refused for now may be asked again. */
const RETRY_AFTER_S = 1

/** A refusal for which HTTP has a status of its own, which its word alone does not tell (405, 412, 415 …). */
export class HttpError extends TroupeError {
  readonly status: number
  readonly headers: OutgoingHttpHeaders

  constructor(
    status: number,
    code: ErrorCode,
    message: string,
    options: { headers?: OutgoingHttpHeaders; details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(code, message, options)
    this.status = status
    this.headers = options.headers ?? {}
  }
}

export function statusOf(error: TroupeError): number {
  return error instanceof HttpError ? error.status : errorKinds[error.code].http
}

/** What a client needs beside the body to go on. */
export function problemHeaders(error: TroupeError): OutgoingHttpHeaders {
  const status = statusOf(error)
  return {
    ...(status === 429 || status === 503 ? { 'Retry-After': RETRY_AFTER_S } : {}),
    ...(status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}),
    // The session can be served by another process: the next connection may lead there.
    ...(error.details['elsewhere'] === true ? { Connection: 'close' } : {}),
    ...(error instanceof HttpError ? error.headers : {}),
  }
}

/** JSON text. Never throws. */
export function problemText(error: TroupeError): string {
  const status = statusOf(error)
  const problem = {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: error.message,
    code: error.code,
    retryable: error.retryable,
  }
  try {
    return JSON.stringify({ ...problem, details: error.details })
  } catch {
    // Details that JSON cannot hold (a cycle, a BigInt) are left out; the stable word matters more.
    return JSON.stringify({ ...problem, details: {} })
  }
}
