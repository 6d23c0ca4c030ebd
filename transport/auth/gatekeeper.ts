/** Tells who sends a request, by whatever is configured for it. */
import type { IncomingMessage } from 'node:http'
import { TroupeError } from '../../actors/errors.ts'
import type { Logger } from '../../actors/ports.ts'
import { describeFault, toTroupeError } from '../protocol/failures.ts'
import { isPrincipalId, principalIdRule } from './authenticator.ts'
import type { Authenticator, Identity, RequestAuthenticator } from './authenticator.ts'
import { bearerToken } from './bearer.ts'

export interface GatekeeperOptions {
  /** Checks tokens; `null`: none are taken. */
  readonly tokens: Authenticator | null
  /** Asked first; `null`: there is none. */
  readonly hook: RequestAuthenticator | null
  readonly logger: Logger
}

/** No date is later; such an identity does not end. */
const LONGEST_MS = 8.64e15

export class Gatekeeper {
  readonly #options: GatekeeperOptions

  constructor(options: GatekeeperOptions) {
    this.#options = options
  }

  /** Whether somebody without a token may still come with one, by `authenticate`. */
  get takesTokens(): boolean {
    return this.#options.tokens !== null
  }

  /**
   * Who sends a request; `null`: it does not say.
   * @throws TroupeError `unauthenticated`, `unavailable`
   */
  async identify(request: IncomingMessage): Promise<Identity | null> {
    const { hook } = this.#options
    if (hook !== null) {
      const identity = await this.#ask(hook, request)
      if (identity !== null) return identity
    }
    const token = bearerToken(request)
    return token === null ? null : this.check(token)
  }

  /** Who holds a token. @throws TroupeError `unauthenticated`, `unavailable` */
  async check(token: string): Promise<Identity> {
    const { tokens, logger } = this.#options
    if (tokens === null) throw new TroupeError('unauthenticated', 'Tokens are not taken here.')
    try {
      return living(await tokens.authenticate(token))
    } catch (thrown) {
      const error = toTroupeError(thrown)
      if (error.code !== 'unauthenticated') logger.warn(describeFault(error), 'a token could not be checked')
      throw error
    }
  }

  async #ask(hook: RequestAuthenticator, request: IncomingMessage): Promise<Identity | null> {
    try {
      const given = await hook(request)
      if (given === null) return null
      const { principal, expiresAt = null } = given
      if (!isPrincipalId(principal?.id)) throw new Error(`principal.id must be ${principalIdRule}`)
      if (expiresAt !== null && !Number.isFinite(expiresAt))
        throw new Error('expiresAt must be milliseconds since 1970')
      return living({ principal, expiresAt })
    } catch (thrown) {
      if (thrown instanceof TroupeError && thrown.code === 'unauthenticated') throw thrown
      const error = toTroupeError(thrown)
      this.#options.logger.error(describeFault(error), 'the authenticate function failed')
      throw new TroupeError('unauthenticated', 'It could not be found out who sends this.', { cause: thrown })
    }
  }
}

/** Between being checked and being used, it may have ended. */
function living(identity: Identity): Identity {
  const { expiresAt } = identity
  if (expiresAt === null || expiresAt >= LONGEST_MS) return { ...identity, expiresAt: null }
  if (expiresAt > Date.now()) return identity
  throw new TroupeError('unauthenticated', 'What was presented has expired; get a new one.')
}
