/** Outcomes of the store that end a request, as the errors that its sender gets. */
import { TroupeError } from '../../actors/errors.ts'
import { StoreFailure } from '../../actors/ports.ts'
import type { SessionAction } from '../../actors/access.ts'
import type { Caller, StoreOutcome } from '../../actors/ports.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import type { HostParts } from './host-parts.ts'

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
        ? new TroupeError('unavailable', `writes are refused for now: ${outcome.message}`)
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

/**
 * Something was done by a key that was used before, and the session is as somebody else has made it since: whoever may not do it
 * any more hears that it was done, and no more.
 * @returns `null`: the session may be shown
 */
export function notSeen(
  { permissions }: Pick<HostParts, 'permissions'>,
  record: SessionRecord,
  { caller }: { readonly caller: Caller },
  action: SessionAction,
  done: Record<string, unknown>,
): TroupeError | null {
  try {
    permissions.check(record, caller, action)
    return null
  } catch (error) {
    if (!(error instanceof TroupeError)) throw error
    return new TroupeError(error.code, `It was done before, but ${error.message}`, { details: done })
  }
}
