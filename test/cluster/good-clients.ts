/** One who writes to a session at an even pace, and some who listen to it over sound lines, and say how late they heard. */
import { once } from 'node:events'
import WebSocket from 'ws'
import { Histogram, type Percentiles } from '../../bench/load/histogram.ts'

const EVERY_MS = 50

interface Update {
  readonly method?: string
  readonly params?: {
    readonly version: number
    readonly context: { readonly state: { readonly at: number } }
  }
}

export class GoodClients {
  readonly #id: string
  readonly #writer: WebSocket
  readonly #listeners: readonly WebSocket[]
  /** Newest version that each listener was told. */
  readonly versions: number[] = []
  #sent = 0
  #histogram = new Histogram()
  #timer: NodeJS.Timeout | undefined

  private constructor(id: string, writer: WebSocket, listeners: readonly WebSocket[]) {
    this.#id = id
    this.#writer = writer
    this.#listeners = listeners
    listeners.forEach((listener, index) =>
      listener.on('message', (data: Buffer) => this.#heard(index, JSON.parse(data.toString()) as Update)),
    )
  }

  /** @param id of a `document` that exists */
  static async start(url: string, id: string, listeners: number): Promise<GoodClients> {
    const sockets = await Promise.all(
      Array.from({ length: listeners + 1 }, async (_, index) => {
        const socket = new WebSocket(url)
        await once(socket, 'open')
        if (index === 0) return socket
        socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'subscribe', params: { id } }))
        await once(socket, 'message')
        return socket
      }),
    )
    return new GoodClients(id, sockets[0] as WebSocket, sockets.slice(1))
  }

  /** Updates that were sent so far. */
  get sent(): number {
    return this.#sent
  }

  /** From now on an update at an even pace, and this message beside each. */
  write(message: string): void {
    this.#timer = setInterval(() => {
      const event = { type: 'MERGE', state: { at: performance.now() } }
      this.#send('updateSession', { id: this.#id, event })
      this.#send('broadcastToSession', { id: this.#id, message })
      this.#sent++
    }, EVERY_MS)
  }

  rest(): void {
    clearInterval(this.#timer)
  }

  /** How late updates were heard since the last call, in ms. */
  take(): Percentiles {
    const percentiles = this.#histogram.percentiles()
    this.#histogram = new Histogram()
    return percentiles
  }

  close(): void {
    this.rest()
    for (const socket of [this.#writer, ...this.#listeners]) socket.terminate()
  }

  #send(method: string, params: object): void {
    this.#writer.send(JSON.stringify({ jsonrpc: '2.0', method, params }))
  }

  #heard(index: number, { method, params }: Update): void {
    if (method !== 'sessionUpdated' || params === undefined) return
    this.versions[index] = params.version
    this.#histogram.record(performance.now() - params.context.state.at)
  }
}
