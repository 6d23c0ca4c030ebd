/** The options of authentication, as the part that finds out who clients are. */
import type { Logger } from '../actors/ports.ts'
import type { RequestAuthenticator } from '../transport/auth/authenticator.ts'
import { Gatekeeper } from '../transport/auth/gatekeeper.ts'
import { JwtAuthenticator } from '../transport/auth/jwt-authenticator.ts'
import { takesTokens } from './options.ts'
import type { Options } from './options.ts'

/**
 * @param hook of a server that embeds the runtime
 * @returns `null`: no authentication is configured
 * @throws Error that says what is wrong with the JWKS
 */
export function createGatekeeper(
  options: Pick<Options, 'authSecret' | 'authJwks' | 'authAudience' | 'authIssuer'>,
  hook: RequestAuthenticator | null,
  logger: Logger,
): Gatekeeper | null {
  const { authSecret, authJwks, authAudience, authIssuer } = options
  const tokens = takesTokens(options)
    ? new JwtAuthenticator({
        secret: authSecret,
        jwks: authJwks,
        audience: authAudience,
        issuer: authIssuer,
      })
    : null
  return tokens === null && hook === null ? null : new Gatekeeper({ tokens, hook, logger })
}
