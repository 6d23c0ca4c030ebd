/** One session, as an application holds it. */
import type { ContextOf, EventOf } from '../../actors/define-session.ts'
import type { Until } from '../../actors/until.ts'
import type { SessionView } from '../../actors/view.ts'
import { streamNotices, type ClientNotice, type Phase } from './notices.ts'
import type { ClientUpdate, ClientView, RequestTiming, SendOptions } from './session-types.ts'
import type { PresentMember } from './members.ts'
import type { Observable } from './observable.ts'
import type { ListenOptions, Subscription } from './subscription.ts'

/** The calls of the client that a handle makes for its session. */
export interface SessionCalls {
  updateSession(id: string, event: { readonly type: string }, options?: SendOptions): Promise<ClientUpdate>
  getSession(id: string, options?: RequestTiming): Promise<ClientView | null>
  deleteSession(id: string, options?: RequestTiming): Promise<boolean>
  broadcastToSession(id: string, message: unknown, options?: RequestTiming): Promise<void>
  waitFor(id: string, until: Until, options: RequestTiming): Promise<ClientView>
}

/** `D`: the definition; `Context`: what clients see of its context, if its `view` replaces it. */
export class SessionHandle<D = unknown, Context = ContextOf<D>> {
  readonly id: string
  readonly #calls: SessionCalls
  readonly #subscription: Subscription

  constructor(id: string, calls: SessionCalls, subscription: Subscription) {
    this.id = id
    this.#calls = calls
    this.#subscription = subscription
  }

  /**
   * The newest view that this client has seen; `null`: none yet, or the session has ended. The same object until something has
   * changed, as `useSyncExternalStore` wants it.
   */
  readonly getSnapshot = (): ClientView<D, Context> | null =>
    this.#subscription.view as ClientView<D, Context> | null

  /**
   * Subscribes while anybody listens, over all losses of the connection. React's `useSyncExternalStore` takes it as it is.
   * @param options `presence`: also tell who is subscribed
   * @returns how to end it
   */
  readonly subscribe = (
    listener: (notice: ClientNotice<ClientView<D, Context>>) => void,
    options?: ListenOptions,
  ): (() => void) =>
    this.#subscription.listen(listener as unknown as (notice: ClientNotice<SessionView>) => void, options)

  /**
   * Who is subscribed, on all processes: asked for while anybody listens here. `null`: not known (yet), or the definition does not let
   * clients ask. The same list until it changes, as `useSyncExternalStore` wants it.
   */
  readonly members: Observable<readonly PresentMember[] | null> = {
    getSnapshot: () => this.#subscription.members,
    subscribe: (listener) =>
      this.#subscription.listen(
        (notice) => {
          if (notice.kind === 'presence') listener(notice.members)
        },
        { presence: true },
      ),
  }

  /** Where the subscription stands. A notice of kind `phase` tells each change. */
  get phase(): Phase {
    return this.#subscription.phase
  }

  /** All that happens, as {@link subscribe} tells it, beginning with what is known. Ends with the session and with the client. */
  notices(options?: ListenOptions): AsyncGenerator<ClientNotice<ClientView<D, Context>>, void, undefined> {
    return streamNotices((listener) => this.subscribe(listener, options), this.getSnapshot)
  }

  /** The views, beginning with the one that is known; who is slow skips some. */
  async *updates(): AsyncGenerator<ClientView<D, Context>, void, undefined> {
    for await (const notice of this.notices()) if (notice.kind === 'updated') yield notice.session
  }

  /** What others say with `broadcast`. */
  async *messages(): AsyncGenerator<unknown, void, undefined> {
    for await (const notice of this.notices()) if (notice.kind === 'message') yield notice.message
  }

  /**
   * Sends an event. It is applied once, however often the connection is lost, and after those that were sent before.
   * @throws ClientError `event_invalid`, `session_ended`, `version_conflict`, `timeout` (look at its `outcome`), …
   */
  send(event: EventOf<D>, options?: SendOptions): Promise<ClientUpdate<D, Context>> {
    return this.#calls.updateSession(this.id, event, options) as Promise<ClientUpdate<D, Context>>
  }

  /** Reads it; `null`: there is none. */
  get(options?: RequestTiming): Promise<ClientView<D, Context> | null> {
    return this.#calls.getSession(this.id, options) as Promise<ClientView<D, Context> | null>
  }

  /** Ends the session. @returns whether there was one; false also if an earlier try of this call has ended it */
  delete(options?: RequestTiming): Promise<boolean> {
    return this.#calls.deleteSession(this.id, options)
  }

  /** To all that listen, at most once. @throws ClientError `timeout` if the connection was lost meanwhile: it is not sent twice */
  broadcast(message: unknown, options?: RequestTiming): Promise<void> {
    return this.#calls.broadcastToSession(this.id, message, options)
  }

  /** Resolves when it is done, has a tag or is in a state. @throws ClientError `timeout`, `session_ended`, `not_found` */
  waitFor(until: Until, options: RequestTiming = {}): Promise<ClientView<D, Context>> {
    return this.#calls.waitFor(this.id, until, options) as Promise<ClientView<D, Context>>
  }

  /** Ends all that listen to it. It can be listened to again. */
  close(): void {
    this.#subscription.close()
  }
}
