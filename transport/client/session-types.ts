/** Sessions as the type checker knows them on the client: by the definitions that the server was given. */
import type { ContextOf, SessionIdOf } from '../../actors/define-session.ts'
import type { Position } from '../../actors/session.ts'
import type { SessionView } from '../../actors/view.ts'

/**
 * A session of a definition. `Context`: what its clients see of the context, where the definition's `view` replaces it.
 * All of it is shared with others that hold it: do not change it.
 */
export type ClientView<D = unknown, Context = ContextOf<D>> = SessionView<Context> & {
  readonly id: SessionIdOf<D>
}

/** What has become of an event: `applied` is the version that it made. */
export type ClientUpdate<D = unknown, Context = ContextOf<D>> = ClientView<D, Context> & {
  readonly outcome: 'committed' | 'unchanged' | 'duplicate'
  readonly applied?: number
}

export interface RequestTiming {
  /** In ms. Default: the client's `requestTimeoutMs`. */
  readonly timeoutMs?: number
}

export interface SendOptions extends RequestTiming {
  /** Idempotency key, at most 256 characters. Default: a random one, which covers the client's own repetitions. */
  readonly key?: string
  /** Apply only if the session is at this version. */
  readonly ifVersion?: number | Position
}
