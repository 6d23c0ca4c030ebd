/** Stands between a client and a server that keeps the protocol, and breaks it in one way. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import WebSocket, { WebSocketServer } from 'ws'

type Send = (frame: string) => void
export type Json = Record<string, unknown>

/** Both are made anew for each connection; what is left out hands on what comes. */
export interface Fault {
  readonly toServer?: (send: Send, reply: Send) => (frame: string) => void
  readonly toClient?: (send: Send) => (frame: string) => void
  /** Hands binary frames on as text. */
  readonly takesBinary?: boolean
}

export class FaultyProxy {
  readonly #server: WebSocketServer

  private constructor(server: WebSocketServer) {
    this.#server = server
  }

  static async start(target: string, fault: Fault): Promise<FaultyProxy> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    await once(server, 'listening')
    server.on('connection', (client) => join(client, target, fault))
    return new FaultyProxy(server)
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/ws`
  }

  async stop(): Promise<void> {
    for (const client of this.#server.clients) client.terminate()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

function join(client: WebSocket, target: string, fault: Fault): void {
  const server = new WebSocket(target)
  const waiting: (() => void)[] = []
  const toServer = (data: string | Buffer, binary: boolean): void => {
    if (server.readyState === WebSocket.CONNECTING) waiting.push(() => server.send(data, { binary }))
    else server.send(data, { binary })
  }
  const toClient: Send = (frame) => client.send(frame)
  const up =
    fault.toServer?.((frame) => toServer(frame, false), toClient) ?? ((frame) => toServer(frame, false))
  const down = fault.toClient?.(toClient) ?? toClient
  client.on('message', (data: Buffer, isBinary) => {
    if (isBinary && fault.takesBinary !== true) toServer(data, true)
    else up(data.toString())
  })
  server.on('open', () => waiting.forEach((send) => send()))
  server.on('message', (data: Buffer) => down(data.toString()))
  server.on('close', (code) => client.close(code === 1006 ? 1011 : code))
  client.on('close', () => server.terminate())
  for (const socket of [client, server]) socket.on('error', () => undefined)
}

/** Rewrites each message, those of batches one by one; `null`: it is lost. */
export function rewriting(rewrite: (message: Json) => Json | null): (send: Send) => (frame: string) => void {
  return (send) => (frame) => {
    const parsed = parse(frame)
    if (parsed === undefined) send(frame)
    else if (Array.isArray(parsed))
      send(JSON.stringify(parsed.map((one) => rewrite(one as Json)).filter(Boolean)))
    else {
      const message = rewrite(parsed as Json)
      if (message !== null) send(JSON.stringify(message))
    }
  }
}

/** Hands on the second of each two such frames before the first. */
export function swapping(which: (frame: string) => boolean): (send: Send) => (frame: string) => void {
  return (send) => {
    let held: string | null = null
    return (frame) => {
      if (!which(frame)) send(frame)
      else if (held === null) {
        held = frame
        setTimeout(() => {
          if (held === frame) send(frame)
          if (held === frame) held = null
        }, 50)
      } else {
        send(frame)
        send(held)
        held = null
      }
    }
  }
}

export function parse(frame: string): unknown {
  try {
    const value: unknown = JSON.parse(frame)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
