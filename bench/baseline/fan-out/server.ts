/**
 * The hand-written alternative for fan-out: node:cluster, `ws` and Redis' sharded pub/sub, and nothing else. It keeps
 * no session: the process that an update is sent to changes an object of its own, encodes the view once and publishes
 * it; each process hears it once and writes the same bytes to all its subscribers. So it is a lower bound of what any
 * server of shared sessions can cost. Same requests, replies and notifications as ours, to the byte.
 *
 * Usage: node --import tsx bench/baseline/fan-out/server.ts --redis-url redis://… [--port 0] [--workers 2]
 *   [--key-prefix b]
 */
import cluster from 'node:cluster'
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import { initialTransition } from 'xstate'
import { basketMachine } from '../../machines/basket-machine.ts'

const { values: flags } = parseArgs({
  options: {
    'redis-url': { type: 'string' },
    port: { type: 'string', default: '0' },
    workers: { type: 'string', default: '2' },
    'key-prefix': { type: 'string', default: 'baseline' },
  },
})

/** As ours. */
const HEARTBEAT_MS = 25_000

interface Request {
  readonly id?: number
  readonly method?: string
  readonly params?: {
    readonly id?: string
    readonly event?: { readonly quantity?: number }
    message?: unknown
  }
}

interface Client {
  readonly socket: WebSocket
  readonly sessions: Set<string>
  isAlive: boolean
}

if (cluster.isPrimary) supervise()
else serve()

function supervise(): void {
  let missing = Number(flags.workers)
  cluster.on('listening', (_worker, address) => {
    if (--missing === 0) console.log(`listening on ws://127.0.0.1:${address.port}/ws`)
  })
  for (let n = 0; n < Number(flags.workers); n++) cluster.fork()
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGKILL')
    process.exit(0)
  })
}

function serve(): void {
  const redisUrl = flags['redis-url']
  if (redisUrl === undefined) throw new Error('--redis-url is missing: give the address of a Redis server')
  const redis = new Redis(redisUrl)
  const subscriber = new Redis(redisUrl)
  const channelOf = (id: string): string => `${flags['key-prefix']}:session:${id}`
  const subscribers = new Map<string, Set<Client>>()
  const views = new Map<string, ReturnType<typeof firstView>>()
  const clients = new Set<Client>()

  const prefixLength = channelOf('').length
  subscriber.on('smessage', (channel: string, params: string) => {
    const frame = Buffer.from(`{"jsonrpc":"2.0","method":"sessionUpdated","params":${params}}`)
    for (const { socket } of subscribers.get(channel.slice(prefixLength)) ?? [])
      socket.send(frame, { binary: false })
  })

  async function subscribe(client: Client, id: string): Promise<string> {
    let group = subscribers.get(id)
    if (group === undefined) {
      subscribers.set(id, (group = new Set()))
      await subscriber.ssubscribe(channelOf(id))
    }
    group.add(client)
    client.sessions.add(id)
    return `{"recovered":false,"session":${JSON.stringify(views.get(id) ?? null)}}`
  }

  function leave(client: Client): void {
    clients.delete(client)
    for (const id of client.sessions) {
      const group = subscribers.get(id)
      group?.delete(client)
      if (group?.size !== 0) continue
      subscribers.delete(id)
      void subscriber.sunsubscribe(channelOf(id))
    }
  }

  async function update(id: string, quantity: number): Promise<string> {
    const view = views.get(id) ?? firstView(id)
    views.set(id, view)
    const [, , line] = view.context.lines
    if (line !== undefined) line.quantity = quantity
    view.context.changes++
    view.version++
    view.updatedAt = Date.now()
    const text = JSON.stringify(view)
    await redis.spublish(channelOf(id), `${text.slice(0, -1)},"events":["SET_QUANTITY"]}`)
    return `{"outcome":"committed","applied":${view.version},${text.slice(1)}`
  }

  /** @returns JSON text of the result. */
  async function call(client: Client, { method, params }: Request): Promise<string> {
    const id = params?.id ?? ''
    switch (method) {
      case 'createSession':
        views.set(id, firstView(id))
        return `{"created":true,"id":"${id}"}`
      case 'subscribe':
        return subscribe(client, id)
      case 'updateSession':
        return update(id, params?.event?.quantity ?? 0)
      default:
        throw new Error(`no such method: ${method ?? ''}`)
    }
  }

  async function answer(client: Client, data: Buffer): Promise<void> {
    let id = 0
    let reply: string
    try {
      const request = JSON.parse(data.toString()) as Request
      id = request.id ?? 0
      reply = `"result":${await call(client, request)}`
    } catch (error) {
      reply = `"error":${JSON.stringify({ code: -32603, message: String(error) })}`
    }
    client.socket.send(`{"jsonrpc":"2.0","id":${id},${reply}}`)
  }

  const server = createServer((_request, response) => response.end('{"status":"ok"}'))
  const sockets = new WebSocketServer({
    server,
    path: '/ws',
    perMessageDeflate: false,
    clientTracking: false,
    maxPayload: 256 * 1024,
  })
  sockets.on('connection', (socket) => {
    const client: Client = { socket, sessions: new Set(), isAlive: true }
    clients.add(client)
    socket.on('message', (data: Buffer) => void answer(client, data))
    socket.on('pong', () => (client.isAlive = true))
    socket.on('error', () => socket.terminate())
    socket.on('close', () => leave(client))
  })
  setInterval(() => {
    for (const client of clients) {
      if (!client.isAlive) client.socket.terminate()
      client.isAlive = false
      client.socket.ping()
    }
  }, HEARTBEAT_MS)
  server.listen(Number(flags.port), '127.0.0.1', 4096)
}

/** A view of the basket, member for member as ours. */
function firstView(id: string) {
  const [{ status, value, context, tags, output }] = initialTransition(basketMachine)
  return {
    id,
    machine: 'basket',
    epoch: String(Date.now() * 1000),
    version: 1,
    updatedAt: Date.now(),
    status,
    value,
    context: structuredClone(context),
    tags: [...tags],
    accepts: ['SET_QUANTITY', 'CHECK_OUT'],
    output,
  }
}
