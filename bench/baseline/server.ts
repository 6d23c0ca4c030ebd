/**
 * The hand-written alternative, its server: node:cluster, `ws`, JSON-RPC. Same requests and replies as ours.
 *
 * Usage: node --import tsx bench/baseline/server.ts --redis-url redis://… [--port 0] [--workers 2] [--key-prefix b]
 */
import cluster from 'node:cluster'
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import { basketMachine } from '../machines/basket-machine.ts'
import type { BasketEvent } from '../machines/basket-machine.ts'
import { BaselineSessions } from './sessions.ts'

const { values: flags } = parseArgs({
  options: {
    'redis-url': { type: 'string' },
    port: { type: 'string', default: '0' },
    workers: { type: 'string', default: '2' },
    'key-prefix': { type: 'string', default: 'baseline' },
  },
})

interface Request {
  readonly id?: number | string
  readonly method?: string
  readonly params?: {
    readonly id?: string
    readonly machine?: string
    readonly event?: BasketEvent
    readonly message?: unknown
  }
}

interface Client {
  readonly socket: WebSocket
  readonly origin: string
  readonly sessions: Set<string>
}

class Refusal extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

if (cluster.isPrimary) supervise()
else serve()

function supervise(): void {
  let missing = Number(flags.workers)
  cluster.on('listening', (_worker, address) => {
    if (--missing === 0) console.log(`listening on ws://127.0.0.1:${address.port}/ws`)
  })
  // Port 0 is chosen once by the primary and shared by all workers.
  for (let n = 0; n < Number(flags.workers); n++) cluster.fork()
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGKILL')
    process.exit(0)
  })
}

function serve(): void {
  const redisUrl = flags['redis-url']
  if (redisUrl === undefined) throw new Error('--redis-url is missing: give the address of a Redis server')
  const sessions = new BaselineSessions(redisUrl, flags['key-prefix'], 'basket', basketMachine)
  const subscribers = new Map<string, Set<Client>>()
  let connections = 0

  sessions.listen((id, heard) => {
    const frame =
      heard.kind === 'updated'
        ? `{"jsonrpc":"2.0","method":"sessionUpdated","params":${heard.view}}`
        : `{"jsonrpc":"2.0","method":"sessionMessage","params":{"id":"${id}","message":${heard.message}}}`
    const bytes = Buffer.from(frame)
    for (const client of subscribers.get(id) ?? []) {
      if (heard.kind === 'updated' && client.origin === heard.origin) continue
      client.socket.send(bytes, { binary: false })
    }
  })

  async function subscribe(client: Client, id: string): Promise<string | null> {
    let group = subscribers.get(id)
    if (group === undefined) {
      subscribers.set(id, (group = new Set()))
      await sessions.subscribe(id)
    }
    group.add(client)
    client.sessions.add(id)
    return sessions.get(id)
  }

  function leave(client: Client): void {
    for (const id of client.sessions) {
      const group = subscribers.get(id)
      group?.delete(client)
      if (group?.size === 0) {
        subscribers.delete(id)
        void sessions.unsubscribe(id)
      }
    }
  }

  /** @returns JSON text of the result. */
  async function call(client: Client, request: Request): Promise<string> {
    const { id, event } = request.params ?? {}
    if (typeof id !== 'string' || id === '') throw new Refusal(-32602, 'params.id must be a non-empty string')
    const method = request.method ?? ''
    switch (method) {
      case 'updateSession': {
        if (typeof event?.type !== 'string') throw new Refusal(-32602, 'params.event needs a type')
        const result = await sessions.update(id, event, client.origin)
        if (result === null) throw new Refusal(-32000, 'no such session')
        return `{${result}`
      }
      case 'getSession':
        return (await sessions.get(id)) ?? 'null'
      case 'broadcastToSession':
        await sessions.broadcast(id, JSON.stringify(request.params?.message ?? null))
        return '{}'
      case 'createSession': {
        const view = await sessions.create(id)
        if (view === null) throw new Refusal(-32001, 'session exists')
        return `{"created":true,${view.slice(1)}`
      }
      case 'subscribe': {
        const view = await subscribe(client, id)
        if (view === null) throw new Refusal(-32000, 'no such session')
        return `{"recovered":false,"session":${view}}`
      }
      default:
        throw new Refusal(-32601, 'no such method')
    }
  }

  async function answer(client: Client, data: Buffer): Promise<void> {
    let request: Request | undefined
    let reply: string
    try {
      request = JSON.parse(data.toString()) as Request
      reply = `"result":${await call(client, request)}`
    } catch (error) {
      const code = error instanceof Refusal ? error.code : error instanceof SyntaxError ? -32700 : -32603
      reply = `"error":${JSON.stringify({ code, message: String(error) })}`
    }
    client.socket.send(`{"jsonrpc":"2.0","id":${JSON.stringify(request?.id ?? null)},${reply}}`)
  }

  const server = createServer((_request, response) => response.end('{"status":"ok"}'))
  const sockets = new WebSocketServer({ server, path: '/ws', perMessageDeflate: false, maxPayload: 1 << 20 })
  sockets.on('connection', (socket) => {
    const client: Client = { socket, origin: `${process.pid}-${++connections}`, sessions: new Set() }
    socket.on('message', (data: Buffer) => void answer(client, data))
    socket.on('error', () => socket.terminate())
    socket.on('close', () => leave(client))
  })
  server.listen(Number(flags.port), '127.0.0.1', 4096)
}
