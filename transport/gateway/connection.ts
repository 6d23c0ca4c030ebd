/** One client: frames in, requests started in their order, replies and notifications out. */
import type { Duplex } from 'node:stream'
import type { RawData } from 'ws'
import { TroupeError, errorKinds } from '../../actors/errors.ts'
import type { Caller, Logger, Principal } from '../../actors/ports.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { newClientId } from '../feed/subscriber.ts'
import type { EndedNotification, Notification } from '../feed/subscriber.ts'
import { closeKinds, type CloseKindName } from '../protocol/close-codes.ts'
import { errorReplyText, parseFrame, type Refusal, type Request } from '../protocol/codec.ts'
import { describeFault, errorText, toTroupeError } from '../protocol/failures.ts'
import type { MethodName } from '../protocol/messages.ts'
import { goAwayText } from '../protocol/notification-text.ts'
import type { Identity } from '../auth/authenticator.ts'
import type { Login } from '../auth/login.ts'
import { BatchReply, Call } from './call.ts'
import type { Client } from './client.ts'
import { serveSocket, type ClientSocket, type SocketOwner } from './client-socket.ts'
import { Creations } from './creations.ts'
import type { Flusher } from './flusher.ts'
import { HeldEnds } from './held-ends.ts'
import { IdleWatch } from './idle-watch.ts'
import type { GatewayLimits } from './limits.ts'
import { prepare, type MethodContext, type Prepared } from './methods.ts'
import { Outlet, type OutletOwner } from './outlet.ts'
import { leaving, tooFast, unknownCaller } from './refusals.ts'
import { RequestOrder } from './request-order.ts'
import { Subscriptions } from './subscriptions.ts'
import { TokenBucket, type Rate } from './token-bucket.ts'

/** The same for all connections of a gateway. */
export interface ConnectionOptions {
  readonly flusher: Flusher
  readonly limits: GatewayLimits
  /** Of the requests of each; `null`: any. */
  readonly rate: Rate | null
  readonly context: MethodContext
  readonly logger: Logger
  readonly onClosed: (connection: Connection) => void
  /** It asked for a session that another process can serve and this one cannot. Called once. */
  readonly onMisplaced: (connection: Connection) => void
}

/** Who is at the other end. */
export interface Origin {
  /** Where it has a place. */
  readonly address: string
  /** `null`: nobody is asked who they are. */
  readonly login: Login | null
}

/** Pings without an answer, after which the client counts as gone. */
const MISSED_BEATS = 2
/** What may be asked before it is known who asks. */
const OPEN_METHODS: readonly string[] = ['authenticate', 'rpc.discover'] satisfies MethodName[]

/** What an idle connection does not need is not there: what is empty is `null`. */
export class Connection implements Client, SocketOwner, OutletOwner {
  /** See {@link Origin}. */
  readonly address: string
  #clientId: string | null = null
  readonly #options: ConnectionOptions
  /** Who it is; `null`: nobody is asked. */
  readonly #login: Login | null
  readonly #socket: ClientSocket
  readonly #outlet: Outlet
  #order: RequestOrder | null = null
  readonly #subscriptions: Subscriptions
  #creations: Creations | null = null
  /** How to give up what waits for something that may never come. */
  #held: Set<() => void> | null = null
  readonly #heldEnds = new HeldEnds()
  #inFlight = 0
  #crowded = false
  #retiring = false
  #isMisplaced = false
  #missedBeats = 0
  #closed = false
  #idle: (() => void) | null = null
  readonly #bucket: TokenBucket | null
  readonly #idleWatch: IdleWatch | null

  constructor(socket: ClientSocket, stream: Duplex, { address, login }: Origin, options: ConnectionOptions) {
    const { limits } = options
    const { clock } = options.context
    this.address = address
    this.#options = options
    this.#login = login
    this.#socket = socket
    this.#subscriptions = new Subscriptions(limits.maxSubscriptions)
    const { maxIdleMs } = limits
    this.#bucket = options.rate === null ? null : new TokenBucket(options.rate)
    this.#idleWatch =
      maxIdleMs === 0
        ? null
        : new IdleWatch({
            clock,
            maxIdleMs,
            isBusy: () => this.#inFlight > 0 || this.#subscriptions.size > 0,
            onIdle: () => this.close('idle'),
          })
    this.#outlet = new Outlet(socket, stream, options, this)
    serveSocket(socket, this)
    login?.start({
      onPrincipal: () => {
        this.#subscriptions.forgetViews()
        for (const id of [...this.#subscriptions.ids()]) this.#options.context.fanOut.recheck(id, this)
      },
      onExpired: (kind) => this.close(kind),
    })
  }

  get watches(): 'subscribe' {
    return 'subscribe'
  }

  get principal(): Principal | null {
    return this.#login?.principal ?? null
  }

  get clientId(): string {
    return (this.#clientId ??= newClientId())
  }

  get caller(): Caller {
    return { principal: this.principal, origin: this }
  }

  get silentCaller(): Caller {
    return { principal: this.principal, origin: null }
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Requests that are not answered yet. */
  get inFlight(): number {
    return this.#inFlight
  }

  get subscriptions(): number {
    return this.#subscriptions.size
  }

  /** It is not known yet who this is. */
  #isGuest(): boolean {
    return this.#login !== null && this.#login.principal === null
  }

  /** Called at every heartbeat. */
  beat(): void {
    // While its requests are under way and it is not read, a client cannot answer a ping.
    if (this.#crowded || this.#closed) return
    if (++this.#missedBeats > MISSED_BEATS) {
      this.close(this.#outlet.congested ? 'slow_consumer' : 'no_heartbeat')
      this.#socket.terminate()
    } else if (!this.#outlet.congested) {
      this.#socket.ping()
    }
  }

  /** Tells the client to connect elsewhere; both in milliseconds. */
  goAway(afterMs: number, jitterMs: number): void {
    this.#outlet.reply(goAwayText(afterMs, jitterMs))
  }

  /** Refuses further requests, waits for the replies under way, and closes. */
  async retire(): Promise<void> {
    this.#retiring = true
    this.#giveUp()
    if (this.#inFlight > 0 && !this.#closed) await new Promise<void>((resolve) => (this.#idle = resolve))
    this.close('going_away')
  }

  /** A client that does not answer the close soon is cut off. */
  close(kind: CloseKindName): void {
    const { code, reason } = closeKinds[kind]
    this.#retiring = true
    this.#socket.close(code, reason)
    // Its answer to the close must be read.
    this.#socket.resume()
  }

  ponged(): void {
    this.#missedBeats = 0
  }

  /** The socket closes by itself (1002, 1007, 1009); nobody else needs to know. */
  broke(error: Error): void {
    this.#options.logger.debug({ reason: error.message }, 'client socket')
  }

  ended(): void {
    this.#closed = true
    this.#login?.end()
    this.#idleWatch?.stop()
    this.#giveUp()
    for (const id of this.#subscriptions.ids()) this.#options.context.fanOut.leave(id, this)
    this.#subscriptions.clear()
    this.#idle?.()
    this.#options.onClosed(this)
  }

  received(data: RawData, isBinary: boolean): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    if (isBinary) {
      this.close('binary_frame')
      return
    }
    this.#missedBeats = 0
    this.#idleWatch?.touch()
    // eslint-disable-next-line @typescript-eslint/no-base-to-string -- a Buffer, by the socket's binaryType
    const frame = parseFrame(data.toString(), this.#options.limits)
    switch (frame.kind) {
      case 'request':
        this.#start(frame, null)
        return
      case 'refusal':
        if (this.#bucket !== null && this.#bucket.take() > 0) return
        this.#outlet.reply(errorReplyText(frame.idText, errorText(frame.error)))
        return
      case 'batch': {
        const batch = new BatchReply(this, frame.entries.length)
        for (const entry of frame.entries) this.#start(entry, batch)
      }
    }
  }

  #start(request: Request | Refusal, batch: BatchReply | null): void {
    if (++this.#inFlight >= this.#options.limits.maxInFlight && !this.#crowded) {
      this.#crowded = true
      this.#socket.pause()
    }
    const call = new Call(this, request.kind === 'request' ? request.method : '', request.idText, batch)
    const retryAfterMs = this.#bucket?.take() ?? 0
    if (retryAfterMs > 0) {
      call.fail(tooFast(retryAfterMs))
      return
    }
    if (request.kind === 'refusal') {
      call.fail(request.error)
      return
    }
    if (this.#isGuest() && !OPEN_METHODS.includes(request.method)) {
      call.fail(unknownCaller())
      return
    }
    if (this.#retiring) {
      call.fail(leaving())
      return
    }
    let prepared: Prepared
    try {
      prepared = prepare(this.#options.context, call, request.params)
    } catch (thrown) {
      call.fail(thrown)
      return
    }
    if (prepared.lane === null) {
      prepared.start()
    } else {
      call.lane = prepared.lane
      if (call.idText !== null) this.#heldEnds.begin(prepared.lane)
      this.#order ??= new RequestOrder()
      this.#order.enter(prepared.lane, prepared.order, prepared.start)
    }
  }

  finished(lane: string | null): void {
    if (lane !== null) this.#order?.leave(lane)
    if (this.#order?.size === 0) this.#order = null
    this.#inFlight--
    if (this.#crowded && this.#inFlight <= this.#options.limits.maxInFlight / 2) {
      this.#crowded = false
      if (!this.#outlet.congested) this.#socket.resume()
    }
    if (this.#inFlight === 0) this.#idle?.()
  }

  reply(text: string): void {
    this.#outlet.reply(text)
  }

  holds(giveUp: () => void): () => void {
    this.#held ??= new Set()
    this.#held.add(giveUp)
    return () => {
      if (this.#held?.delete(giveUp) === true && this.#held.size === 0) this.#held = null
    }
  }

  #giveUp(): void {
    const held = this.#held
    this.#held = null
    for (const giveUp of held ?? []) giveUp()
  }

  replied(lane: string): void {
    this.#tellEnd(this.#heldEnds.replied(lane))
  }

  viewForReply(record: SessionRecord): string {
    const { fanOut, service } = this.#options.context
    const newest = fanOut.settle(this, record)
    this.#tellEnd(this.#heldEnds.before(newest.id, newest))
    if (this.#outlet.congested) this.#outlet.settled(newest.id, newest)
    const view = service.encodeView(newest, this.principal)
    this.#subscriptions.sent(newest.id, newest)
    return view
  }

  deliver(notification: Notification): void {
    const { id } = notification
    if (notification.kind === 'ended') {
      this.#subscriptions.delete(id)
      this.#idleWatch?.touch()
      if (this.#heldEnds.hold(notification)) return
    } else if (notification.kind === 'updated') {
      this.#tellEnd(this.#heldEnds.before(id, notification.record))
      const frame = this.#subscriptions.frameOf(notification, this.principal, this.#outlet.congested)
      this.#outlet.notify(notification, frame)
      return
    }
    this.#outlet.notify(notification)
  }

  undeliverable(error: unknown): void {
    this.blame('sessionUpdated', error)
  }

  #tellEnd(ended: EndedNotification | null): void {
    if (ended !== null) this.#outlet.notify(ended)
  }

  blame(method: string, thrown: unknown): TroupeError {
    const error = toTroupeError(thrown)
    if (error.details['elsewhere'] === true && !this.#isMisplaced) {
      this.#isMisplaced = true
      this.#options.onMisplaced(this)
    }
    // What a client waited for and did not come is its own affair.
    const isOwn = error.code === 'timeout' && error.details['outcome'] === undefined
    const level = isOwn ? 'debug' : errorKinds[error.code].log
    // The ordinary refusals would only cost time here.
    if (level !== 'debug')
      this.#options.logger[level]({ method, ...describeFault(error) }, 'a request failed')
    return error
  }

  congested(): void {
    this.#socket.pause()
  }

  overflowed(): void {
    this.close('slow_consumer')
  }

  relieved(): void {
    this.#missedBeats = 0
    if (!this.#crowded) this.#socket.resume()
  }

  async authenticate(token: string): Promise<Identity> {
    if (this.#login !== null) return this.#login.authenticate(token)
    throw new TroupeError('invalid_request', 'No authentication is configured here: nobody is asked.')
  }

  claimCreation(): () => void {
    this.#creations ??= new Creations(this.#options.limits.maxSessionsPerConnection)
    return this.#creations.claim()
  }

  claimSubscription(id: SessionId, delta: boolean): void {
    this.#subscriptions.add(id, delta)
  }

  releaseSubscription(id: SessionId): void {
    this.#subscriptions.delete(id)
    this.#outlet.forget(id)
  }

  rosterTold(id: SessionId): void {
    this.#outlet.rosterTold(id)
  }

  endTold(id: SessionId): void {
    this.#heldEnds.told(id)
  }
}
