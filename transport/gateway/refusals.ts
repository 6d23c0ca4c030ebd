/** Why a connection does not take a request that could be read. Nothing was done then. */
import { TroupeError } from '../../actors/errors.ts'

export function tooFast(retryAfterMs: number): TroupeError {
  return new TroupeError('rate_limited', `Too many requests: send it again in ${retryAfterMs} ms.`, {
    details: { retryAfterMs },
  })
}

export function unknownCaller(): TroupeError {
  return new TroupeError(
    'unauthenticated',
    'Say who you are first: send `authenticate` with a token, and wait for its reply.',
  )
}

export function leaving(): TroupeError {
  return new TroupeError(
    'draining',
    'This process is leaving. Nothing was done: connect again and send it again.',
  )
}
