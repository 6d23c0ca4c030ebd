/** Tokens whose holder may do some things with one session, for a while: to hand to a browser, a guest, another service. */
import { SignJWT } from 'jose'
import { sessionActions } from '../../actors/access.ts'
import type { SessionAction } from '../../actors/access.ts'
import { TroupeError } from '../../actors/errors.ts'
import type { Principal } from '../../actors/ports.ts'
import { parseSessionId } from '../../actors/session.ts'
import { ACCESS_CLAIM, isPrincipalId, principalIdRule } from './authenticator.ts'

export interface AccessTokenRequest {
  /** Id of the session; it need not exist yet. */
  readonly session: string
  /** Who its holder is; the claims go into the token. */
  readonly principal: Principal
  /** What the holder may do, as far as the definition lets this principal. */
  readonly actions: readonly SessionAction[]
  readonly ttlMs: number
}

export interface AccessTokenIssuer {
  readonly secret: string
  readonly audience: string | null
  readonly issuer: string | null
}

const LONGEST_MS = 366 * 86_400_000

/** @throws TroupeError `invalid_params` */
export function signAccessToken(
  { secret, audience, issuer }: AccessTokenIssuer,
  { session, principal, actions, ttlMs }: AccessTokenRequest,
): Promise<string> {
  if (parseSessionId(session) === null) throw invalid('session', 'must be the id of a session')
  if (!isPrincipalId(principal?.id)) throw invalid('principal.id', `must be ${principalIdRule}`)
  if (actions.length === 0 || !actions.every((action) => sessionActions.includes(action)))
    throw invalid('actions', `must be some of ${sessionActions.join(', ')}`)
  if (!(ttlMs > 0 && ttlMs <= LONGEST_MS)) throw invalid('ttlMs', 'must be milliseconds, at most a year')
  const claims = { ...principal.claims, [ACCESS_CLAIM]: { session, actions } }
  const now = Date.now()
  const token = new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(principal.id)
    .setIssuedAt(Math.floor(now / 1000))
    .setExpirationTime(Math.ceil((now + ttlMs) / 1000))
  if (audience !== null) token.setAudience(audience)
  if (issuer !== null) token.setIssuer(issuer)
  return token.sign(new TextEncoder().encode(secret))
}

function invalid(member: string, rule: string): TroupeError {
  return new TroupeError('invalid_params', `${member}: ${rule}`)
}
