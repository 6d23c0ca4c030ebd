/** Tokens for tests: made by hand where no library would make them. */
import { SignJWT, exportJWK, generateKeyPair } from 'jose'
import type { JWK } from 'jose'
import { JwtAuthenticator } from '../../../transport/auth/jwt-authenticator.ts'
import type { JwtOptions } from '../../../transport/auth/jwt-authenticator.ts'
import { Gatekeeper } from '../../../transport/auth/gatekeeper.ts'
import type { RequestAuthenticator } from '../../../transport/auth/authenticator.ts'
import { KeptLog } from '../support/parts.ts'

export const SECRET = 'a secret of the tests, long enough for HS256'

export function jwt(options: Partial<JwtOptions> = {}): JwtAuthenticator {
  return new JwtAuthenticator({ secret: SECRET, jwks: null, audience: null, issuer: null, ...options })
}

export function gatekeeper(hook: RequestAuthenticator | null = null, logger = new KeptLog()): Gatekeeper {
  return new Gatekeeper({ tokens: jwt(), hook, logger })
}

export interface TokenParts {
  readonly claims?: Record<string, unknown>
  /** Seconds from now; `null`: it does not expire. */
  readonly expiresIn?: number | null
  readonly secret?: string
}

/** A token of `sub`, signed with the secret. */
export function tokenOf(
  sub: string | undefined,
  { claims = {}, expiresIn = 60, secret = SECRET }: TokenParts = {},
): Promise<string> {
  const token = new SignJWT({ ...claims, ...(sub === undefined ? {} : { sub }) }).setProtectedHeader({
    alg: 'HS256',
  })
  if (expiresIn !== null) token.setExpirationTime(Math.floor(Date.now() / 1000) + expiresIn)
  return token.sign(new TextEncoder().encode(secret))
}

/** Header and claims as they are, with whatever signature. */
export function rawToken(header: object, claims: object, signature = ''): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part(header)}.${part(claims)}.${signature}`
}

export interface KeyOwner {
  readonly jwk: JWK
  sign(sub: string): Promise<string>
}

/** A key pair of a server that gives out tokens. */
export async function keyOwner(alg: string, kid: string): Promise<KeyOwner> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  return {
    jwk: { ...(await exportJWK(publicKey)), kid, alg },
    sign: (sub) =>
      new SignJWT({ sub }).setProtectedHeader({ alg, kid }).setExpirationTime('1 minute').sign(privateKey),
  }
}
