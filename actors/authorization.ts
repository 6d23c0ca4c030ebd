/** Asking a definition whether somebody may do something. */
import type { AnyStateMachine, ContextFrom, EventFromLogic, InputFrom } from 'xstate'
import type { SessionAction } from './access.ts'
import { TroupeError, messageOf } from './errors.ts'
import type { Principal } from './ports.ts'
import type { Position, PublicState, SessionId, SessionRecord } from './session.ts'

/** A session as `authorize` gets to see it. */
export interface AuthorizedSession<M extends AnyStateMachine = AnyStateMachine>
  extends PublicState, Position {
  readonly id: SessionId
  readonly context: ContextFrom<M>
}

/** What `authorize` is asked. */
export interface AuthorizeRequest<M extends AnyStateMachine = AnyStateMachine> {
  /** Who asks; `null`: somebody who is not authenticated, where no authentication is configured. */
  readonly principal: Principal | null
  /** `list`: whether the session may be among those that `GET /sessions` tells. */
  readonly action: SessionAction | 'list'
  readonly id: SessionId
  /** Of an `update`; checked by the `events` schema. */
  readonly event?: EventFromLogic<M>
  /** Of a `create`; checked by the `input` schema. */
  readonly input?: InputFrom<M>
  /** Of a `broadcast`. */
  readonly message?: unknown
  /** The session as it is, before what is asked for; `null` only for `create`. */
  readonly session: () => AuthorizedSession<M> | null
}

/** A definition's rule: whether it may be done. Synchronous; whatever is not `true` is no. */
export type Authorize<M extends AnyStateMachine = AnyStateMachine> = (request: AuthorizeRequest<M>) => boolean

/** The session of a request, parsed when it is first asked for. `state`: JSON text of the public state. */
export function sessionOf(
  { id, epoch }: SessionRecord,
  version: number,
  state: string,
): () => AuthorizedSession {
  let session: AuthorizedSession | null = null
  return () => (session ??= { id, epoch, version, ...(JSON.parse(state) as PublicState) })
}

/**
 * Asks a definition.
 * @param failed called with what went wrong when the rule did not answer: that is a no
 * @returns the error for who asked; `null`: it may be done
 */
export function refusalOf(
  authorize: Authorize,
  request: AuthorizeRequest,
  failed: (reason: string) => void,
): TroupeError | null {
  try {
    const answer: unknown = authorize(request)
    if (answer === true) return null
    if (answer !== false) failed(`it must return true or false, and returned ${nameOf(answer)}`)
  } catch (error) {
    failed(messageOf(error))
  }
  return forbidden(request)
}

function nameOf(answer: unknown): string {
  if (answer instanceof Promise) {
    answer.catch(() => undefined)
    return 'a promise: it cannot be asynchronous'
  }
  return answer === null ? 'null' : typeof answer
}

function forbidden({ principal, action, id }: AuthorizeRequest): TroupeError {
  const who = principal === null ? 'somebody who is not authenticated' : JSON.stringify(principal.id)
  return new TroupeError('forbidden', `${who} may not ${action} session "${id}"`)
}
