/**
 * A client as the protocol wants one: one connection that comes back, and requests that are sent again, with the same
 * command key, until they are answered.
 */
import WebSocket from 'ws'

export interface Reply {
  readonly result?: Record<string, unknown>
  readonly error?: {
    readonly code: number
    readonly message: string
    readonly data: { readonly code: string; readonly retryable: boolean }
  }
}

interface Pending {
  readonly text: string
  readonly resolve: (reply: Reply) => void
}

const RECONNECT_MS = 50
const HANDSHAKE_MS = 3000
const RESEND_MS = 100

export class ResendingClient {
  /** Notifications, as they came. */
  readonly heard: { method: string; params: Record<string, unknown> }[] = []
  reconnects = 0
  readonly #url: string
  readonly #pending = new Map<number, Pending>()
  #socket: WebSocket | null = null
  #isOpen = false
  #isClosed = false
  #ids = 0
  /** Called after each connect, before anything else is sent again. */
  onConnect: () => void = () => undefined

  constructor(url: string) {
    this.#url = url
    this.#connect()
  }

  /** Requests that have no reply yet. */
  get pending(): number {
    return this.#pending.size
  }

  /** Sends until there is a reply that is not `retryable`. */
  request(method: string, params: Record<string, unknown>): Promise<Reply> {
    const id = ++this.#ids
    const text = JSON.stringify({ jsonrpc: '2.0', id, method, params })
    return new Promise((resolve) => {
      this.#pending.set(id, { text, resolve })
      if (this.#isOpen) this.#socket?.send(text)
    })
  }

  close(): void {
    this.#isClosed = true
    this.#socket?.terminate()
  }

  #connect(): void {
    if (this.#isClosed) return
    // A connection that was being handed to a process as that was killed is never answered, and never closed.
    const socket = new WebSocket(this.#url, { handshakeTimeout: HANDSHAKE_MS })
    this.#socket = socket
    socket.on('error', () => undefined)
    socket.on('open', () => {
      this.#isOpen = true
      this.onConnect()
      for (const { text } of this.#pending.values()) socket.send(text)
    })
    socket.on('message', (data: Buffer) =>
      this.#received(JSON.parse(data.toString()) as Reply & { id?: number; method?: string }),
    )
    socket.on('close', () => {
      this.#isOpen = false
      this.reconnects++
      setTimeout(() => this.#connect(), RECONNECT_MS)
    })
  }

  #received(message: Reply & { id?: number; method?: string }): void {
    if (message.method !== undefined) {
      this.heard.push(message as unknown as { method: string; params: Record<string, unknown> })
      return
    }
    const { id = 0 } = message
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    if (message.error?.data.retryable) {
      setTimeout(() => {
        if (this.#isOpen && this.#pending.has(id)) this.#socket?.send(pending.text)
      }, RESEND_MS)
      return
    }
    this.#pending.delete(id)
    pending.resolve(message)
  }
}
