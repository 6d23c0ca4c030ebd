/** One WebSocket: text frames out, parsed messages in, and a watch over whether the other side is still there. */
import type { Clock } from '../../actors/ports.ts'
import type { SessionView } from '../../actors/view.ts'
import type { WebSocketClass, WebSocketLike } from './web-socket.ts'

/** A message of the server, as far as it is looked at before its kind is known. */
export interface Message {
  readonly id?: unknown
  readonly method?: unknown
  readonly params?: unknown
  readonly result?: unknown
  readonly error?: unknown
}

export interface LinkOptions {
  readonly WebSocket: WebSocketClass
  readonly url: string
  readonly protocols: string[]
  readonly clock: Clock
  readonly silenceMs: number
  readonly probeTimeoutMs: number
  /** Whether anything is to be expected of the server. */
  readonly isAwaiting: (link: Link) => boolean
  readonly onOpen: (link: Link) => void
  readonly onMessage: (link: Link, message: Message) => void
  /** Called once, also for one that never opened. */
  readonly onLost: (link: Link, code: number, reason: string) => void
}

/** What a socket that broke is closed with in the browser's words: no close frame came. */
const ABNORMAL = 1006
/** How many of the newest views of a session are kept as bases of patches. */
const BASES = 3
/**
 * Browsers do not show pings. This request costs the server next to nothing (it ends a subscription that is not there),
 * and any answer will do.
 */
const PROBE = JSON.stringify({
  jsonrpc: '2.0',
  id: 'probe',
  method: 'unsubscribe',
  params: { id: 'troupe.client.probe' },
})

export class Link {
  readonly #options: LinkOptions
  readonly #socket: WebSocketLike
  /** Views that came over this connection, by session, oldest first: the server's patches are made against them. */
  readonly #bases = new Map<string, SessionView[]>()
  #lastHeard = 0
  #timer: { cancel(): void } | null = null
  #isOver = false

  /** @throws what the WebSocket class throws for an address or a token that cannot be used */
  constructor(options: LinkOptions) {
    this.#options = options
    const socket = new options.WebSocket(options.url, options.protocols)
    this.#socket = socket
    socket.onopen = () => {
      this.#heard()
      this.#watch(options.silenceMs)
      options.onOpen(this)
    }
    socket.onmessage = ({ data }: { data: unknown }) => this.#received(data)
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => this.#lost(code, String(reason))
    // A close follows, and says more.
    socket.onerror = () => undefined
  }

  send(text: string): void {
    this.#socket.send(text)
  }

  /** Gives it up without waiting for the other side, which may be unreachable; it counts as lost at once. */
  abandon(reason: string): void {
    this.#lost(ABNORMAL, reason)
  }

  /** Ends it, and tells nobody here. */
  close(): void {
    this.#end()
  }

  base(id: string, epoch: unknown, version: unknown): SessionView | undefined {
    return this.#bases.get(id)?.find((view) => view.epoch === epoch && view.version === version)
  }

  keepBase(view: SessionView): void {
    const kept = this.#bases.get(view.id) ?? []
    this.#bases.set(view.id, [...kept.filter((other) => other.version !== view.version), view].slice(-BASES))
  }

  forgetBases(id: string): void {
    this.#bases.delete(id)
  }

  #received(data: unknown): void {
    if (this.#isOver) return
    this.#heard()
    let message: unknown
    try {
      message = JSON.parse(String(data))
    } catch {
      return
    }
    if (typeof message === 'object' && message !== null) this.#options.onMessage(this, message)
  }

  #heard(): void {
    this.#lastHeard = this.#options.clock.now()
  }

  /** Looks after `ms` whether something came; where something is awaited and nothing came, it asks. */
  #watch(ms: number): void {
    const { clock, silenceMs, probeTimeoutMs, isAwaiting } = this.#options
    this.#timer = clock.setTimeout(() => {
      const silent = clock.now() - this.#lastHeard
      if (silent < silenceMs) this.#watch(silenceMs - silent)
      else if (!isAwaiting(this)) this.#watch(silenceMs)
      else {
        const before = this.#lastHeard
        this.send(PROBE)
        this.#timer = clock.setTimeout(() => {
          if (this.#lastHeard === before) this.abandon('nothing came, not even an answer')
          else this.#watch(silenceMs)
        }, probeTimeoutMs)
      }
    }, ms)
  }

  #lost(code: number, reason: string): void {
    if (this.#isOver) return
    this.#end()
    this.#options.onLost(this, code, reason)
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#timer?.cancel()
    this.#bases.clear()
    const socket = this.#socket
    socket.onopen = socket.onmessage = socket.onclose = null
    try {
      socket.close(1000)
    } catch {
      // One that is still connecting may refuse it; it is let go either way.
    }
  }
}
