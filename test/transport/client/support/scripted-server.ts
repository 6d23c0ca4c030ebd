import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'

interface Asked {
  readonly id: number | string
  readonly method: string
  readonly params: { readonly [member: string]: unknown }
}

/** Says what the test wants it to, to see what a client makes of it. */
export class ScriptedServer {
  readonly #server: WebSocketServer
  /** All connections that there were. */
  readonly sockets: WebSocket[] = []
  readonly asked: (Asked & { readonly connection: number })[] = []
  readonly protocols: string[] = []
  /** What to answer; `undefined`: nothing. */
  answer: (asked: Asked, connection: number) => { result?: unknown; error?: unknown } | undefined = () => ({
    result: {},
  })

  private constructor() {
    this.#server = new WebSocketServer({
      port: 0,
      host: '127.0.0.1',
      handleProtocols: () => 'troupe.v1',
    })
    this.#server.on('connection', (socket, request) => {
      const connection = this.sockets.push(socket) - 1
      this.protocols.push(request.headers['sec-websocket-protocol'] ?? '')
      socket.on('message', (data: Buffer) => {
        const asked = JSON.parse(data.toString()) as Asked
        this.asked.push({ ...asked, connection })
        const answer = this.answer(asked, connection)
        if (answer !== undefined) socket.send(JSON.stringify({ jsonrpc: '2.0', id: asked.id, ...answer }))
      })
    })
  }

  static async start(): Promise<ScriptedServer> {
    const scripted = new ScriptedServer()
    await once(scripted.#server, 'listening')
    return scripted
  }

  get url(): string {
    return `ws://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`
  }

  notify(connection: number, method: string, params: object): void {
    this.sockets[connection]?.send(JSON.stringify({ jsonrpc: '2.0', method, params }))
  }

  /** Requests of this kind, as params. */
  of(method: string): Asked['params'][] {
    return this.asked.filter((asked) => asked.method === method).map(({ params }) => params)
  }

  stop(): void {
    for (const socket of this.sockets) socket.terminate()
    this.#server.close()
  }
}

export function refusal(code: string, retryable: boolean, data: object = {}): { error: unknown } {
  return { error: { code: -32000, message: `refused: ${code}`, data: { code, retryable, ...data } } }
}

export function viewOf(id: string, version: number, context: unknown, epoch = '1000'): object {
  return {
    id,
    machine: 'list',
    epoch,
    version,
    status: 'active',
    value: 'open',
    context,
    tags: [],
    accepts: [],
    updatedAt: version,
  }
}
