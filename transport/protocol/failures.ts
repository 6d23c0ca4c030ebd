/** Whatever was thrown, as the error object of a JSON-RPC reply. */
import type { z } from 'zod'
import { TroupeError, errorKinds, messageOf } from '../../actors/errors.ts'
import { StoreFailure } from '../../actors/ports.ts'

/** What was thrown as one of the catalogue's errors. Faults keep their cause for the log, never for the client. */
export function toTroupeError(thrown: unknown): TroupeError {
  if (thrown instanceof TroupeError) return thrown
  if (thrown instanceof StoreFailure) {
    return thrown.effect === 'not-applied'
      ? new TroupeError('unavailable', 'Redis cannot be reached. Nothing was changed: send it again.', {
          cause: thrown,
        })
      : new TroupeError('timeout', 'Redis did not answer in time. Ask again with the same key.', {
          details: { outcome: 'unknown' },
          cause: thrown,
        })
  }
  return new TroupeError('internal', 'The server failed at this request; its log tells why.', {
    cause: thrown,
  })
}

/**
 * What was done cannot be shown: a view that throws does not undo a commit.
 * @param done what the reply would have said of it
 */
export function notShown(thrown: unknown, done: Readonly<Record<string, unknown>>): TroupeError {
  const { code, message, details, cause } = toTroupeError(thrown)
  return new TroupeError(code, `It was done, but the session cannot be shown: ${message}`, {
    details: { ...details, ...done },
    cause,
  })
}

/** JSON text of `{code, message, data: {code, retryable, …details}}`. Never throws. */
export function errorText(error: TroupeError): string {
  const { rpc, retryable } = errorKinds[error.code]
  const head = { code: rpc, message: error.message }
  const data = { code: error.code, retryable }
  try {
    return JSON.stringify({ ...head, data: { ...error.details, ...data } })
  } catch {
    // Details that JSON cannot hold (a cycle, a BigInt) are left out; the stable word matters more.
    return JSON.stringify({ ...head, data })
  }
}

/** The first few things that a schema found wrong, each with its path. */
export function invalidParams(method: string, schema: z.ZodObject, error: z.ZodError): TroupeError {
  const issues = error.issues.slice(0, 3).map((issue) => {
    const path = ['params', ...issue.path].map(String).join('.')
    const isOwn = issue.code === 'unrecognized_keys' && issue.path.length === 0
    const known = isOwn ? ` (there are: ${Object.keys(schema.shape).join(', ')})` : ''
    return `${path}: ${issue.message}${known}`
  })
  return new TroupeError(
    'invalid_params',
    `The params do not fit ${method}. ${issues.join('; ')}`.slice(0, 1000),
  )
}

/** Members of a log line about what was thrown: the sentence, and of a fault its origin. */
export function describeFault(error: TroupeError): object {
  const cause = error.cause
  return {
    code: error.code,
    reason: error.message,
    ...(cause === undefined
      ? {}
      : { cause: messageOf(cause), stack: cause instanceof Error ? cause.stack : undefined }),
  }
}
