/** One of a crowd: the client library over real sockets, subscribed to one session; it notes when it had a connection. */
import { WebSocket } from 'ws'
import { createClient, type Client } from '../../../transport/client/index.ts'

export interface Notes {
  readonly connectedAt: number[]
  readonly toldAt: { at: number; jitterMs: number }[]
  readonly closeCodes: Map<number, number>
}

export class Member {
  readonly session: string
  readonly client: Client
  #openSockets = 0
  #wasOpen = false
  #lostAt = 0
  #withoutMs = 0

  constructor(url: string, session: string, notes: Notes) {
    this.session = session
    const opened = (): void => {
      if (this.#openSockets++ === 0 && this.#wasOpen) this.#withoutMs += Date.now() - this.#lostAt
      this.#wasOpen = true
    }
    const closed = (code: number): void => {
      notes.closeCodes.set(code, (notes.closeCodes.get(code) ?? 0) + 1)
      if (--this.#openSockets === 0) this.#lostAt = Date.now()
    }
    class NotedSocket extends WebSocket {
      constructor(address: string, protocols?: string[]) {
        super(address, protocols)
        notes.connectedAt.push(Date.now())
        this.once('open', () => {
          opened()
          this.once('close', closed)
        })
        this.on('message', (data: Buffer) => {
          if (!data.includes('"goAway"')) return
          const { params } = JSON.parse(data.toString()) as { params: { jitterMs: number } }
          notes.toldAt.push({ at: Date.now(), jitterMs: params.jitterMs })
        })
      }
    }
    this.client = createClient({ url, WebSocket: NotedSocket })
    this.client.session(session).subscribe(() => undefined)
  }

  get isLive(): boolean {
    return this.#openSockets > 0 && this.client.session(this.session).phase === 'live'
  }

  get version(): number {
    return this.client.session(this.session).getSnapshot()?.version ?? 0
  }

  /** How long it was without any connection after its first; whoever has none now counts until now. */
  get withoutMs(): number {
    return this.#withoutMs + (this.#wasOpen && this.#openSockets === 0 ? Date.now() - this.#lostAt : 0)
  }
}
