/**
 * JSON Web Tokens. Which algorithms count is decided by the keys that are configured, never by the token: a shared
 * secret takes HS256 alone, a key set takes signatures of public keys alone, so that no public key is ever taken for
 * a secret.
 */
import { decodeProtectedHeader, errors, jwtVerify } from 'jose'
import type { JWTPayload, JWTVerifyOptions } from 'jose'
import { TroupeError } from '../../actors/errors.ts'
import { accessOf, isPrincipalId, principalIdRule } from './authenticator.ts'
import type { Authenticator, Identity } from './authenticator.ts'
import { openKeySet } from './jwt-keys.ts'
import type { KeySet } from './jwt-keys.ts'

export interface JwtOptions {
  /** Shared secret of HS256 tokens. */
  readonly secret: string | null
  /** Path or URL of the key set of all others. */
  readonly jwks: string | null
  /** What `aud` must hold. */
  readonly audience: string | null
  /** What `iss` must be. */
  readonly issuer: string | null
}

const SECRET_ALGORITHM = 'HS256'
const PUBLIC_ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
]
/** Longer ones are nobody's; a request's headers have about this limit too. */
const MAX_TOKEN_LENGTH = 16_384

export class JwtAuthenticator implements Authenticator {
  readonly #secret: Uint8Array | null
  readonly #keys: KeySet | null
  readonly #expected: JWTVerifyOptions

  /** @throws Error that says what is wrong with the JWKS */
  constructor({ secret, jwks, audience, issuer }: JwtOptions) {
    this.#secret = secret === null ? null : new TextEncoder().encode(secret)
    this.#keys = jwks === null ? null : openKeySet(jwks)
    this.#expected = {
      requiredClaims: ['sub'],
      ...(audience === null ? {} : { audience }),
      ...(issuer === null ? {} : { issuer }),
    }
  }

  async authenticate(token: string): Promise<Identity> {
    let claims: JWTPayload
    try {
      claims = await this.#verify(token)
    } catch (error) {
      if (error instanceof TroupeError) throw error
      throw refused(problemOf(error), error)
    }
    const { sub, exp } = claims
    if (!isPrincipalId(sub)) throw refused(`its subject (sub) must be ${principalIdRule}`)
    const access = accessOf(claims)
    return {
      principal: { id: sub, claims, ...(access === undefined ? {} : { access }) },
      expiresAt: exp === undefined ? null : exp * 1000,
    }
  }

  async #verify(token: string): Promise<JWTPayload> {
    if (token.length > MAX_TOKEN_LENGTH) throw refused(`it is longer than ${MAX_TOKEN_LENGTH} characters`)
    const { alg } = decodeProtectedHeader(token)
    if (alg === SECRET_ALGORITHM && this.#secret !== null) {
      const options = { ...this.#expected, algorithms: [SECRET_ALGORITHM] }
      return (await jwtVerify(token, this.#secret, options)).payload
    }
    if (this.#keys !== null && alg !== undefined && PUBLIC_ALGORITHMS.includes(alg)) {
      const options = { ...this.#expected, algorithms: PUBLIC_ALGORITHMS }
      return (await jwtVerify(token, this.#keys, options)).payload
    }
    const taken = [
      ...(this.#secret === null ? [] : [SECRET_ALGORITHM]),
      ...(this.#keys === null ? [] : PUBLIC_ALGORITHMS),
    ]
    throw refused(`its algorithm is ${JSON.stringify(alg)}, and only ${taken.join(', ')} can be taken here`)
  }
}

function refused(problem: string, cause?: unknown): TroupeError {
  return new TroupeError('unauthenticated', `The token is refused: ${problem}.`, { cause })
}

function problemOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'it has expired; get a new one'
  if (error instanceof errors.JWTClaimValidationFailed) return claimProblem(error)
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'its signature is not that of the key'
  if (error instanceof errors.JWKSNoMatchingKey) return 'no key is known that could have signed it'
  if (error instanceof errors.JWKSMultipleMatchingKeys)
    return 'it does not say which of several keys has signed it (kid)'
  return 'it is not a JSON Web Token that can be checked'
}

function claimProblem({ claim, reason }: errors.JWTClaimValidationFailed): string {
  if (reason === 'missing') return `it has no ${claim}`
  if (claim === 'nbf') return 'it is not valid yet (nbf)'
  if (claim === 'aud') return 'it is for another audience (aud)'
  if (claim === 'iss') return 'it is from another issuer (iss)'
  return `its ${claim} cannot be used`
}
