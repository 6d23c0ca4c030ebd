/** The package `troupe`: what a user's code imports. */
import type { SessionDefinition } from '../actors/define-session.ts'
import type { Logger } from '../actors/ports.ts'
import type { RequestAuthenticator } from '../transport/auth/authenticator.ts'
import { checkRedis } from '../persistence/probe-redis.ts'
import { registerAll } from './definitions/register-all.ts'
import { createLogger } from './logging.ts'
import { completeOptions } from './options.ts'
import type { Options } from './options.ts'
import { Runtime } from './runtime.ts'

export { defineSession } from '../actors/define-session.ts'
export type {
  ActorPolicy,
  AuditPolicy,
  AuditRule,
  ContextOf,
  EventOf,
  InputOf,
  RuntimeEvent,
  SessionConfig,
  SessionDefinition,
  SessionIdOf,
} from '../actors/define-session.ts'
export type { Access, SessionAction } from '../actors/access.ts'
export type { Authorize, AuthorizedSession, AuthorizeRequest } from '../actors/authorization.ts'
export { sendToSession } from '../actors/mail.ts'
export type { Undelivered } from '../actors/mail.ts'
export { executionOf } from '../actors/promise-run.ts'
export type { Execution } from '../actors/promise-run.ts'
export { TroupeError } from '../actors/errors.ts'
export type { ErrorCode } from '../actors/errors.ts'
export type { Logger, Principal } from '../actors/ports.ts'
export type { EndReason, Position, SubscriptionEnd } from '../actors/session.ts'
export type { ListedSession, ListedStatus, SessionPage } from '../actors/session-list.ts'
export type { SessionView } from '../actors/view.ts'
export type { Until } from '../actors/until.ts'
export type { AccessTokenRequest } from '../transport/auth/access-token.ts'
export type { Identity, RequestAuthenticator } from '../transport/auth/authenticator.ts'
export type { ListOptions } from './list-request.ts'
export type { SessionNotice } from './notices.ts'
export type { Options } from './options.ts'
export type { Runtime, RuntimeHealth } from './runtime.ts'
export type { CreateOptions, Session, UpdateOptions } from './session-api.ts'

export interface RuntimeConfig extends Partial<Omit<Options, 'redisUrl'>> {
  readonly definitions: readonly SessionDefinition[]
  /** Where sessions are kept, e.g. `redis://127.0.0.1:6379`. */
  readonly redisUrl: string
  /**
   * Who sends a request: asked at each upgrade, before tokens. `null`: it does not know; then a token may tell, if tokens are
   * configured. Default: tokens alone.
   */
  readonly authenticate?: RequestAuthenticator
  /** Default: JSON lines on standard error, from `logLevel` on. */
  readonly logger?: Logger
}

/**
 * Starts a runtime in this process. With `databaseUrl` it also writes the audit, in threads of its own; without, the
 * audit waits in Redis for a process that does.
 *
 * @throws OptionsError, or Error that says what is wrong with a definition or with Redis
 * @example
 * const runtime = await createRuntime({ definitions: [counter], redisUrl: 'redis://127.0.0.1:6379' })
 * runtime.attach(httpServer)
 */
export async function createRuntime({
  definitions,
  logger,
  authenticate,
  ...given
}: RuntimeConfig): Promise<Runtime> {
  const options = completeOptions(given)
  const { redisUrl } = options
  if (redisUrl === null) throw new Error('createRuntime needs redisUrl, e.g. redis://127.0.0.1:6379')
  const log = logger ?? createLogger(options.logLevel, 'runtime')
  const registry = registerAll(definitions, log)
  await checkRedis(redisUrl)
  if (options.databaseUrl === null) {
    log.warn(
      {},
      'no databaseUrl is given: transitions wait in Redis until a process that has one writes them',
    )
  }
  return Runtime.start({ options: { ...options, redisUrl }, registry, log, authenticate })
}
