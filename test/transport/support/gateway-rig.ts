import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { WebSocket, type ClientOptions } from 'ws'
import { FanOut, type FanOutOptions } from '../../../transport/feed/fan-out.ts'
import { attachGateway, type Gateway, type GatewayOptions } from '../../../transport/gateway/server.ts'
import { AddressPlaces } from '../../../transport/gateway/address-places.ts'
import { defaultLimits, type GatewayLimits } from '../../../transport/gateway/limits.ts'
import { HttpApi, type HttpApiOptions } from '../../../transport/http/api.ts'
import { handleHttp } from '../../../transport/http/http.ts'
import { MemoryService } from './memory-service.ts'
import { HandFeed, KeptLog, realClock } from './parts.ts'

/** A gateway on a real HTTP server, over sessions in memory. */
export interface Rig {
  readonly service: MemoryService
  readonly feed: HandFeed
  readonly fanOut: FanOut
  readonly log: KeptLog
  readonly server: Server
  readonly gateway: Gateway
  readonly api: HttpApi
  readonly port: number
  connect(options?: ClientOptions & { path?: string; protocols?: string[] }): Promise<TestClient>
  stop(): Promise<void>
}

export async function startRig(
  limits: Partial<GatewayLimits> = {},
  origins?: readonly string[],
  {
    gatekeeper = null,
    proxies = null,
    presence,
    ...ofApi
  }: Pick<GatewayOptions, 'gatekeeper' | 'proxies'> &
    Pick<FanOutOptions, 'presence'> &
    Partial<HttpApiOptions> = {},
): Promise<Rig> {
  const service = new MemoryService()
  const feed = new HandFeed()
  const log = new KeptLog()
  const { read, positions, history } = service
  const fanOut = new FanOut({
    feed,
    node: 'here',
    clock: realClock,
    logger: log,
    read,
    positions,
    history,
    encodeView: (record, principal) => service.encodeView(record, principal),
    viewGroup: (record, principal) => service.viewGroup(record, principal),
    ...(presence === undefined ? {} : { presence }),
  })
  fanOut.start()
  service.sink = fanOut
  service.onBroadcast = (id, message) => feed.onMessage({ kind: 'message', id, message })
  const parts = {
    service,
    fanOut,
    clock: realClock,
    logger: log,
    limits,
    ...(origins === undefined ? {} : { origins }),
    proxies,
    places: new AddressPlaces(limits.maxConnectionsPerAddress ?? defaultLimits.maxConnectionsPerAddress),
  }
  const api = new HttpApi({
    ...parts,
    otherConnections: () => gateway.connections,
    ...ofApi,
  })
  const server = createServer((request, response) => {
    void api.handle(request, response).then((isAnswered) => {
      if (!isAnswered) void handleHttp(request, response, { health: () => ({ ok: true }) })
    })
  })
  const gateway: Gateway = attachGateway(server, {
    ...parts,
    gatekeeper,
    otherConnections: () => api.connections,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const clients: TestClient[] = []
  return {
    service,
    feed,
    fanOut,
    log,
    server,
    gateway,
    api,
    port,
    async connect(options = {}) {
      const client = await TestClient.open(`ws://127.0.0.1:${port}${options.path ?? '/ws'}`, options)
      clients.push(client)
      return client
    },
    async stop() {
      for (const client of clients) client.socket.terminate()
      api.close()
      await gateway.close()
      fanOut.stop()
      server.closeAllConnections()
      server.close()
    },
  }
}

interface Received {
  readonly id?: number | string | null
  readonly method?: string
  readonly params?: { readonly [member: string]: unknown }
  readonly result?: { readonly [member: string]: unknown } | null
  readonly error?: {
    readonly code: number
    readonly message: string
    readonly data: { readonly [member: string]: unknown }
  }
}

/** A WebSocket client that keeps every frame in the order of arrival. */
export class TestClient {
  readonly socket: WebSocket
  readonly frames: string[] = []
  readonly closed: Promise<{ code: number; reason: string }>
  #lastId = 0

  private constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: Buffer) => this.frames.push(data.toString()))
    socket.on('error', () => undefined)
    this.closed = new Promise((resolve) =>
      socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })),
    )
  }

  static async open(url: string, options: ClientOptions & { protocols?: string[] }): Promise<TestClient> {
    const socket = new WebSocket(url, options.protocols ?? [], options)
    const client = new TestClient(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    return client
  }

  get received(): Received[] {
    return this.frames.map((frame) => JSON.parse(frame) as Received)
  }

  /** Notifications of this kind, in order. */
  notified(method: string): NonNullable<Received['params']>[] {
    return this.received.filter((frame) => frame.method === method).map((frame) => frame.params ?? {})
  }

  send(value: unknown): void {
    this.socket.send(typeof value === 'string' ? value : JSON.stringify(value))
  }

  /** Sends without waiting. @returns the id. */
  request(method: string, params: unknown = {}): number {
    const id = ++this.#lastId
    this.send({ jsonrpc: '2.0', id, method, params })
    return id
  }

  call(method: string, params: unknown = {}): Promise<Received> {
    return this.reply(this.request(method, params))
  }

  async reply(id: number | string | null): Promise<Received> {
    return until(() => this.received.find((frame) => frame.id === id && frame.method === undefined))
  }
}

/** Waits until `look` finds something. */
export async function until<T>(look: () => T | undefined | false, ms = 5000): Promise<T> {
  const end = Date.now() + ms
  for (;;) {
    const found = look()
    if (found !== undefined && found !== false) return found
    if (Date.now() > end) throw new Error('what the test waited for did not come')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
