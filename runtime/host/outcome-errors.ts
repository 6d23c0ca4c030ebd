/** Outcomes of the store that end a request, as the errors that its sender gets. */
import { TroupeError } from '../../actors/errors.ts'
import { StoreFailure } from '../../actors/ports.ts'
import type { StoreOutcome } from '../../actors/ports.ts'
import type { SessionId } from '../../actors/session.ts'

/** `not_found`, with the reason for which it is gone, if that is known. */
export function notFound(id: SessionId, reason?: string | null): TroupeError {
  const why = reason ? `it is gone (${reason})` : 'create it first'
  return new TroupeError(
    'not_found',
    `there is no session "${id}": ${why}`,
    reason ? { details: { reason } } : {},
  )
}

/** The error for an outcome that a turn has no further use for. */
export function unexpected(id: SessionId, outcome: StoreOutcome): TroupeError {
  switch (outcome.kind) {
    case 'gone':
      return notFound(id, outcome.reason)
    case 'fenced':
      return new TroupeError(
        'unknown_machine_version',
        `session "${id}" now belongs to version ${outcome.machineVersion} of its definition, which is newer than the one here`,
      )
    case 'refused':
      return outcome.retryable
        ? new TroupeError('unavailable', `Redis refuses writes for now: ${outcome.message}`)
        : new TroupeError('internal', `the commit was refused: ${outcome.message}`)
    default:
      return new TroupeError('internal', `the store answered "${outcome.kind}", which makes no sense here`)
  }
}

/** What a failed call means to the sender of a request. */
export function failureError(error: unknown): unknown {
  if (!(error instanceof StoreFailure)) return error
  return error.effect === 'not-applied'
    ? new TroupeError('unavailable', error.message, { cause: error })
    : new TroupeError('timeout', `${error.message}; ask again with the same key`, {
        details: { outcome: 'unknown' },
        cause: error,
      })
}
