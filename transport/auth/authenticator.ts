/** Who somebody is, and until when that is known: what all ways of authentication come to. */
import type { IncomingMessage } from 'node:http'
import { sessionActions } from '../../actors/access.ts'
import type { Access } from '../../actors/access.ts'
import { TroupeError } from '../../actors/errors.ts'
import type { Principal } from '../../actors/ports.ts'
import { parseSessionId } from '../../actors/session.ts'
import { hasUnstorableCharacter } from '../../actors/storable.ts'

export interface Identity {
  readonly principal: Principal
  /** Milliseconds since 1970; `null`: until the connection ends. */
  readonly expiresAt: number | null
}

/** Turns a token into who holds it. */
export interface Authenticator {
  /** @throws TroupeError `unauthenticated`, with what is wrong with the token; `unavailable` if it could not be checked */
  authenticate(token: string): Promise<Identity>
}

/**
 * Of a server that embeds the runtime: who sends this request; `null`: it does not know, a token may tell.
 * `expiresAt`: milliseconds since 1970.
 */
export type RequestAuthenticator = (request: IncomingMessage) => GivenIdentity | Promise<GivenIdentity>

type GivenIdentity = {
  readonly principal: Principal
  readonly expiresAt?: number | null | undefined
} | null

const MAX_ID_LENGTH = 256
// Ids go into keys and logs, one a line.
const CONTROL = /[\u0000-\u001f\u007f]/

/** Whether this can be the id of a principal: it stands in the audit, and in what command keys are made of. */
export function isPrincipalId(id: unknown): id is string {
  return (
    typeof id === 'string' &&
    id !== '' &&
    id.length <= MAX_ID_LENGTH &&
    !CONTROL.test(id) &&
    !hasUnstorableCharacter(JSON.stringify(id))
  )
}

export const principalIdRule = `1 to ${MAX_ID_LENGTH} characters, without control characters`

/** Name of the claim that holds the bounds of an access token. */
export const ACCESS_CLAIM = 'troupe'

/** The bounds in a token's claims. @throws TroupeError `unauthenticated` if it has some that cannot be understood */
export function accessOf(claims: Readonly<Record<string, unknown>>): Access | undefined {
  const claim = claims[ACCESS_CLAIM]
  if (claim === undefined) return undefined
  const { session, actions } = (claim ?? {}) as { session?: unknown; actions?: unknown }
  const id = typeof session === 'string' ? parseSessionId(session) : null
  const all: readonly unknown[] = Array.isArray(actions) ? actions : []
  const known = sessionActions.filter((action) => all.includes(action))
  if (id !== null && known.length > 0 && known.length === all.length) return { session: id, actions: known }
  throw new TroupeError(
    'unauthenticated',
    `the token's claim "${ACCESS_CLAIM}" is not that of an access token`,
  )
}
