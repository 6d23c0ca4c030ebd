/**
 * What the client knows of one session, and its subscription: made when somebody listens, and again on each new
 * connection, from where it was.
 *
 * 1. The view never goes back: what comes late, by reply or notification of whichever connection, is passed over.
 * 2. At most one request of it is under way: each answer leads to the next, until what is wanted is what is.
 * 3. Messages and emitted events are heard over one connection at a time, so none comes twice.
 */
import { comparePositions, type EndReason, type Position } from '../../actors/session.ts'
import type { SessionView } from '../../actors/view.ts'
import type { ClientError } from './client-error.ts'
import { applyPatch, type PatchOperation } from './json-patch.ts'
import type { Link } from './link.ts'
import { Members, type MembersChange, type PresentMember } from './members.ts'
import type { ClientNotice, Phase } from './notices.ts'
import { callAll } from './observable.ts'
import type { RequestOptions } from './requests.ts'

export interface SubscriptionContext {
  readonly current: () => Link | null
  /** Why there will be no connection any more; `undefined`: there will. */
  readonly stopped: () => { readonly error?: ClientError } | undefined
  readonly request: (options: RequestOptions) => void
  /** Whether to ask for patches; a server that does not know them turns it off. */
  readonly delta: { wanted: boolean }
  /** Somebody listens, or nobody does any more. */
  readonly onListening: (subscription: Subscription, isListening: boolean) => void
  /** Calls it a little later: whoever leaves may be back at once, as React's components are. */
  readonly soon: (callback: () => void) => void
}

export interface ListenOptions {
  /** Also tell who is subscribed, if the definition lets clients ask. */
  readonly presence?: boolean
}

/** What `subscribe` answers. */
interface Joined {
  readonly session: SessionView | null
  readonly presence?: readonly PresentMember[]
  readonly client?: string
}

type Listener = (notice: ClientNotice<SessionView>) => void

export class Subscription {
  readonly id: string
  readonly #context: SubscriptionContext
  readonly #listeners = new Set<Listener>()
  #view: SessionView | null = null
  /** Everything up to here is over. */
  #floor: Position | null = null
  #phase: Phase = 'idle'
  /** Connection over which it is subscribed. */
  #link: Link | null = null
  #isAsking = false
  /** The next subscription must bring the whole view: a patch did not fit. */
  #isAstray = false
  #wasLive = false
  readonly #members = new Members()
  /** Listeners who want to know who is subscribed. */
  readonly #watching = new Set<Listener>()
  /** Whether the list comes over the present link: `stale`: it must be asked for again; `refused`: it is not to be had. */
  #presence: 'none' | 'told' | 'stale' | 'refused' = 'none'

  constructor(id: string, context: SubscriptionContext) {
    this.id = id
    this.#context = context
  }

  get view(): SessionView | null {
    return this.#view
  }

  get phase(): Phase {
    return this.#phase
  }

  get members(): readonly PresentMember[] | null {
    return this.#members.list
  }

  get isListening(): boolean {
    return this.#listeners.size > 0
  }

  listen(listener: Listener, { presence = false }: ListenOptions = {}): () => void {
    const own: Listener = (notice) => listener(notice)
    this.#listeners.add(own)
    if (presence) this.#watching.add(own)
    const stopped = this.#context.stopped()
    if (stopped !== undefined) queueMicrotask(() => this.close(stopped.error))
    else if (this.#listeners.size === 1) {
      this.#context.onListening(this, true)
      if (this.#phase !== 'live') this.#enter('joining')
      this.sync()
    } else if (presence) this.sync()
    return () => {
      if (this.#watching.delete(own) && this.#watching.size === 0) this.#unwatch()
      if (this.#listeners.delete(own) && this.#listeners.size === 0) this.#context.soon(() => this.#left())
    }
  }

  /** Ends all that listen. */
  close(error?: ClientError): void {
    if (this.isListening) this.#enter('closed', error)
    this.#listeners.clear()
    this.#watching.clear()
    this.#unwatch()
    this.#left()
  }

  /** Does the next thing towards being subscribed on the current connection, or not at all. */
  sync(): void {
    const current = this.#context.current()
    if (this.#isAsking || current === null) return
    const isWanted = this.isListening && (this.#phase === 'joining' || this.#phase === 'live')
    if (this.#link === current && (!isWanted || this.#isAstray)) this.#unsubscribe()
    else if (isWanted && (this.#link !== current || this.#needsMembers)) this.#subscribe()
  }

  get #needsMembers(): boolean {
    return this.#watching.size > 0 && (this.#presence === 'none' || this.#presence === 'stale')
  }

  /** Nobody wants to know any more; should it still be told, it is passed over. */
  #unwatch(): void {
    this.#members.forget()
    if (this.#presence !== 'refused') this.#presence = 'none'
  }

  lost(link: Link): void {
    if (this.#link !== link) return
    this.#link = null
    this.#presence = 'none'
    if (this.#phase === 'live') this.#enter('joining')
    this.sync()
  }

  /** A view that came over this connection. */
  offer(view: SessionView, link: Link, events: readonly string[] = []): void {
    if (this.#context.delta.wanted) link.keepBase(view)
    if (this.#view !== null && comparePositions(view, this.#view) <= 0) return
    if (this.#floor !== null && comparePositions(view, this.#floor) <= 0) return
    this.#view = view
    const isBack = this.#phase === 'ended' || this.#phase === 'missing'
    this.#tell({ kind: 'updated', session: view, events })
    if (isBack) {
      this.#enter(this.isListening ? 'joining' : 'idle')
      this.sync()
    }
  }

  /** A notification of this session. */
  notified(method: string, params: Record<string, unknown>, link: Link): void {
    if (method === 'sessionUpdated') {
      this.#updated(params, link)
      return
    }
    if (link !== this.#link) return
    const position = params as unknown as Position
    if (method === 'sessionEnded') {
      this.ended(params['reason'] as EndReason, { epoch: position.epoch, version: position.version })
      return
    }
    // Another connection is about to take over: what comes over both must not be told twice.
    if (link !== this.#context.current()) return
    if (method === 'sessionMessage') this.#tell({ kind: 'message', message: params['message'] })
    else if (method === 'sessionEmitted')
      this.#tell({
        kind: 'emitted',
        position: { epoch: position.epoch, version: position.version },
        event: params['event'],
      })
    else if (method === 'presenceChanged') {
      const { joined, left } = params as { joined: PresentMember[]; left: PresentMember[] }
      this.#tellMembers(this.#members.change(joined, left))
    } else if (method === 'gap') {
      this.#tell({ kind: 'gap', dropped: Number(params['dropped']) })
      if (params['presence'] !== true || this.#presence !== 'told') return
      this.#presence = 'stale'
      this.sync()
    }
  }

  ended(reason: EndReason, position: Position | null): void {
    const newest = this.#view
    // A life that came after this end is not over.
    if (position !== null && newest !== null && comparePositions(newest, position) > 0) return
    const epoch = position?.epoch ?? newest?.epoch
    if (epoch !== undefined) this.#floor = { epoch, version: Infinity }
    this.#view = null
    this.#link?.forgetBases(this.id)
    this.#link = null
    this.#wasLive = false
    this.#presence = 'none'
    this.#tellMembers(this.#members.forget())
    const isNews = this.#phase !== 'ended'
    this.#phase = 'ended'
    if (isNews) {
      this.#tell({ kind: 'ended', position, reason })
      this.#tell({ kind: 'phase', phase: 'ended' })
    }
  }

  #updated(params: Record<string, unknown>, link: Link): void {
    const { events, patch, baseVersion, ...rest } = params
    const types = Array.isArray(events) ? (events as string[]) : []
    if (patch === undefined) {
      this.offer(rest as unknown as SessionView, link, types)
      return
    }
    const base = link.base(this.id, rest['epoch'], baseVersion)
    const view = base === undefined ? null : patched(base, patch as PatchOperation[])
    if (view !== null) this.offer({ ...view, version: Number(rest['version']) }, link, types)
    else if (link === this.#link) {
      this.#isAstray = true
      this.sync()
    }
  }

  #subscribe(): void {
    this.#isAsking = true
    const isFirst = this.#wasLive
    let since: SessionView | null = null
    let isDelta = false
    let asksMembers = false
    this.#context.request({
      method: 'subscribe',
      params: () => {
        since = this.#isAstray ? null : this.#view
        isDelta = this.#context.delta.wanted
        asksMembers = this.#watching.size > 0 && this.#presence !== 'refused'
        return {
          id: this.id,
          ...(since === null ? {} : { since: { epoch: since.epoch, version: since.version } }),
          ...(isDelta ? { delta: true } : {}),
          ...(asksMembers ? { presence: true } : {}),
        }
      },
      lane: this.id,
      // One that was there before the loss comes before the updates that wait; a new one after those made before it.
      first: isFirst,
      timeoutMs: null,
      repeatable: true,
      readOnly: true,
      onResult: (result, link) => {
        this.#isAsking = this.#isAstray = false
        this.#joined(result as Joined, since, link)
        // Of a server that passes over what it does not know: it would be asked for ever.
        if (asksMembers && (result as Joined).presence === undefined) this.#presence = 'refused'
        this.sync()
      },
      onError: (error) => {
        this.#isAsking = false
        if (asksMembers && error.code === 'invalid_params') {
          // Nothing is subscribed now: it is without them.
          this.#presence = 'refused'
          this.#link = null
          this.#members.forget()
          this.#tell({ kind: 'presence', members: null, joined: [], left: [], error })
          this.sync()
        } else if (isDelta && error.code === 'invalid_params') {
          this.#context.delta.wanted = false
          this.sync()
        } else this.#refused(error)
      },
    })
  }

  #joined({ session, presence, client = '' }: Joined, since: SessionView | null, link: Link): void {
    // Over the same connection nothing was missed.
    const wasLive = this.#wasLive && this.#link !== link
    this.#link = link
    this.#wasLive = true
    if (session !== null) this.offer(session, link)
    else if (since !== null && this.#context.delta.wanted) link.keepBase(since)
    if (wasLive) this.#tell({ kind: 'gap', dropped: 0 })
    if (presence !== undefined && this.#watching.size > 0) {
      this.#presence = 'told'
      this.#tellMembers(this.#members.reset(presence, client))
    }
    if (this.#phase === 'joining') this.#enter('live')
  }

  #refused(error: ClientError): void {
    if (error.code === 'closed') return
    if (error.code !== 'not_found') this.#enter('failed', error)
    else if (this.#view !== null) this.ended('lost', null)
    else if (this.#phase !== 'ended') this.#enter('missing', error)
  }

  #unsubscribe(): void {
    this.#isAsking = true
    const over = (): void => {
      this.#isAsking = false
      this.#link?.forgetBases(this.id)
      this.#link = null
      if (!this.isListening) this.#wasLive = false
      this.sync()
    }
    this.#context.request({
      method: 'unsubscribe',
      params: () => ({ id: this.id }),
      lane: this.id,
      timeoutMs: null,
      repeatable: true,
      readOnly: true,
      onResult: over,
      onError: over,
    })
  }

  #left(): void {
    if (this.isListening) return
    this.#phase = this.#phase === 'closed' ? 'closed' : 'idle'
    this.#wasLive = false
    this.#context.onListening(this, false)
    this.sync()
  }

  #tellMembers(change: MembersChange | null): void {
    if (change !== null) this.#tell({ kind: 'presence', ...change })
  }

  #enter(phase: Phase, error?: ClientError): void {
    this.#phase = phase
    this.#tell(error === undefined ? { kind: 'phase', phase } : { kind: 'phase', phase, error })
  }

  #tell(notice: ClientNotice<SessionView>): void {
    callAll(this.#listeners, notice)
  }
}

/** `null`: the patch does not fit. */
function patched(base: SessionView, patch: readonly PatchOperation[]): SessionView | null {
  try {
    return applyPatch(base, patch) as SessionView
  } catch {
    return null
  }
}
