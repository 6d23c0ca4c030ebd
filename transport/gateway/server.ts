/** The WebSocket side of an HTTP server: takes connections in, keeps them alive, and sees them off. */
import type { IncomingMessage, Server } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { BlockList } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type Server as SocketServer } from 'ws'
import type { Clock, Logger, SessionService } from '../../actors/ports.ts'
import type { FanOut } from '../feed/fan-out.ts'
import type { Gatekeeper } from '../auth/gatekeeper.ts'
import { SUBPROTOCOL } from '../protocol/messages.ts'
import { openRpcText } from '../protocol/openrpc.ts'
import type { AddressPlaces } from './address-places.ts'
import { ClientSocket } from './client-socket.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import { planDeparture, type Departure } from './departure.ts'
import { Doorway } from './doorway.ts'
import { Flusher } from './flusher.ts'
import { defaultLimits, type GatewayLimits } from './limits.ts'
import type { MethodContext } from './methods.ts'
import { isLoopback, isOriginAllowed, isWebSocketUpgrade, pathOf, refuse, type Refused } from './upgrade.ts'

export interface GatewayOptions {
  readonly service: SessionService
  readonly fanOut: FanOut
  readonly clock: Clock
  readonly logger: Logger
  /** Default `/ws`. */
  readonly path?: string
  /** Origins of pages that may connect, `*` for any; default: pages of this machine only. */
  readonly origins?: readonly string[]
  readonly limits?: Partial<GatewayLimits>
  /** Finds out who clients are; without it nobody is asked, and only connections from this machine are taken. */
  readonly gatekeeper?: Gatekeeper | null
  /** Proxies whose `X-Forwarded-For` is believed. */
  readonly proxies?: BlockList | null
  /** Open connections of other kinds, which count towards `maxConnections` too. */
  readonly otherConnections?: () => number
  /** The same for `maxConnectionsPerAddress`; default: own. */
  readonly places?: AddressPlaces
}

interface DrainOptions {
  /** After this time connections are closed even if replies are under way. */
  readonly deadlineMs: number
}

export interface Gateway {
  /** Open connections. */
  readonly connections: number
  /**
   * Takes no more connections, and sees off those that are open: at a pace that others can take ({@link planDeparture}), each after its
   * replies under way.
   */
  drain(options: DrainOptions): Promise<void>
  /** Closes all connections without waiting for replies. */
  close(): Promise<void>
}

/** Serves the protocol at `path` of this HTTP server. Other upgrades are left to other listeners, if there are any. */
export function attachGateway(server: Server | TlsServer, options: GatewayOptions): Gateway {
  return new AttachedGateway(server, options)
}

/** A client that does not answer the close in this time is cut off (an option that the types do not know yet). */
const CLOSING = { closeTimeout: 1000 }
/** For a client whose session this process cannot serve: it may come back to one that cannot either. */
const MISPLACED = { jitterMs: 2000, closeMs: 2000 }
/** A heartbeat is spread over this many steps, so that not all are pinged at once. */
const BEAT_STEPS = 20

class AttachedGateway implements Gateway {
  readonly #server: Server | TlsServer
  readonly #options: GatewayOptions
  readonly #limits: GatewayLimits
  readonly #path: string
  readonly #webSockets: SocketServer<typeof ClientSocket>
  readonly #doorway: Doorway
  /** With the step of the heartbeat that is theirs. */
  readonly #connections = new Map<Connection, number>()
  readonly #connectionOptions: ConnectionOptions
  readonly #onUpgrade: (request: IncomingMessage, stream: Duplex, head: Buffer) => void
  #beatTimer: { cancel(): void } | null = null
  #beatStep = 0
  #accepted = 0
  #leaving = false
  #empty: (() => void) | null = null

  constructor(server: Server | TlsServer, options: GatewayOptions) {
    this.#server = server
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#path = options.path ?? '/ws'
    this.#doorway = new Doorway({
      gatekeeper: options.gatekeeper ?? null,
      proxies: options.proxies ?? null,
      places: options.places,
      limits: this.#limits,
      clock: options.clock,
    })
    let discovery: string | null = null
    const context: MethodContext = {
      service: options.service,
      fanOut: options.fanOut,
      clock: options.clock,
      discover: () => (discovery ??= openRpcText()),
    }
    const { maxRequestsPerSecond: perSecond, maxRequestBurst: burst } = this.#limits
    this.#connectionOptions = {
      rate: perSecond === 0 ? null : { clock: options.clock, perSecond, burst },
      flusher: new Flusher(),
      limits: this.#limits,
      context,
      logger: options.logger,
      onMisplaced: (connection) => this.#seeOff([connection], MISPLACED),
      onClosed: (connection) => {
        this.#connections.delete(connection)
        this.#doorway.giveBack(connection.address)
        if (this.#connections.size === 0) this.#empty?.()
      },
    }
    this.#webSockets = new WebSocketServer({
      noServer: true,
      WebSocket: ClientSocket,
      clientTracking: false,
      maxPayload: this.#limits.maxFrameBytes,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
      ...CLOSING,
    })
    this.#onUpgrade = (request, stream, head) => this.#upgrade(request, stream, head)
    server.on('upgrade', this.#onUpgrade)
    this.#beatLater()
  }

  get connections(): number {
    return this.#connections.size
  }

  async drain({ deadlineMs }: DrainOptions): Promise<void> {
    this.#leaving = true
    const deadline = this.#options.clock.setTimeout(() => void this.close(), deadlineMs)
    const all = [...this.#connections.keys()]
    const departure = planDeparture(all.length, deadlineMs)
    const { size, waveMs } = departure
    for (let from = 0; from < all.length && this.#connections.size > 0; from += size) {
      this.#seeOff(all.slice(from, from + size), departure)
      if (from + size < all.length) await this.#sleep(waveMs)
    }
    await this.#untilEmpty()
    deadline.cancel()
    await this.close()
  }

  async close(): Promise<void> {
    this.#leaving = true
    this.#server.off('upgrade', this.#onUpgrade)
    this.#beatTimer?.cancel()
    for (const connection of this.#connections.keys()) connection.close('going_away')
    await this.#untilEmpty()
  }

  #seeOff(wave: readonly Connection[], { jitterMs, closeMs }: Pick<Departure, 'jitterMs' | 'closeMs'>): void {
    const { clock } = this.#options
    for (const connection of wave) connection.goAway(0, jitterMs)
    clock.setTimeout(() => {
      for (const connection of wave) void connection.retire()
    }, closeMs)
  }

  #upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    // Until the WebSocket has its own listener, a reset by the client must not end the process.
    const ignore = (): void => undefined
    stream.on('error', ignore)
    if (pathOf(request) !== this.#path) {
      if (this.#server.listenerCount('upgrade') > 1) stream.off('error', ignore)
      else
        refuse(stream, { status: 404, sentence: `There is nothing here; the WebSocket is at ${this.#path}.` })
      return
    }
    const address = this.#doorway.addressOf(request)
    const refused = this.#refusal(request) ?? this.#crowded() ?? this.#doorway.take(address)
    if (refused !== null) {
      refuse(stream, refused)
      return
    }
    const left = (): void => this.#doorway.giveBack(address)
    stream.once('close', left)
    this.#doorway.enter(request, stream, (entry) => {
      // It may have taken a while.
      const late = entry.kind === 'refused' ? entry.refused : this.#crowded()
      if (late !== null || entry.kind === 'refused') {
        if (late !== null) refuse(stream, late)
        return
      }
      this.#webSockets.handleUpgrade(request, stream, head, (socket) => {
        stream.off('error', ignore)
        // From here on its place is given back with the connection, which has listeners already.
        stream.off('close', left)
        const from = { address, login: entry.login }
        const connection = new Connection(socket, stream, from, this.#connectionOptions)
        this.#connections.set(connection, this.#accepted++ % BEAT_STEPS)
      })
    })
  }

  #refusal(request: IncomingMessage): Refused | null {
    if (!isWebSocketUpgrade(request)) {
      return {
        status: 426,
        sentence: `Only WebSocket is spoken at ${this.#path}: send "Upgrade: websocket".`,
      }
    }
    if ((this.#options.gatekeeper ?? null) === null && !this.#isFromHere(request)) {
      return {
        status: 403,
        sentence: 'No authentication is configured, so only connections from this machine are served.',
      }
    }
    const { origin } = request.headers
    if (!isOriginAllowed(origin, this.#options.origins)) {
      return {
        status: 403,
        sentence: `Pages of ${origin ?? ''} may not connect; add the origin to the allowed ones (ALLOWED_ORIGINS, --allowed-origins).`,
      }
    }
    return null
  }

  /** The socket is asked only where the server listens at other addresses too, since it keeps its answer. */
  #isFromHere({ socket }: IncomingMessage): boolean {
    const listensAt = this.#server.address()
    if (typeof listensAt === 'object' && isLoopback(listensAt?.address)) return true
    return isLoopback(socket.localAddress)
  }

  #crowded(): Refused | null {
    if (this.#leaving) return { status: 503, sentence: 'This process is leaving; connect again.' }
    const others = this.#options.otherConnections?.() ?? 0
    if (this.#connections.size + others >= this.#limits.maxConnections) {
      return { status: 503, sentence: 'This process has as many connections as it takes; try again later.' }
    }
    return null
  }

  #beatLater(): void {
    this.#beatTimer = this.#options.clock.setTimeout(() => {
      this.#beatStep = (this.#beatStep + 1) % BEAT_STEPS
      for (const [connection, step] of this.#connections) if (step === this.#beatStep) connection.beat()
      this.#beatLater()
    }, this.#limits.heartbeatMs / BEAT_STEPS)
  }

  async #untilEmpty(): Promise<void> {
    if (this.#connections.size === 0) return
    await new Promise<void>((resolve) => {
      const before = this.#empty
      this.#empty = () => {
        before?.()
        resolve()
      }
    })
  }

  async #sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => this.#options.clock.setTimeout(resolve, ms))
  }
}
