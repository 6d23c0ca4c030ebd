/** Clients behind a proxy that keeps from them what they asked for: the server cannot know it from clients that read slowly or are gone. */
import { once } from 'node:events'
import WebSocket from 'ws'
import { TcpProxy, type Fault } from '../support/tcp-proxy.ts'

type BadClient = WebSocket & { closeCode?: number }

export class BadClients {
  readonly #fault: Fault
  readonly #proxy: TcpProxy
  readonly #clients: BadClient[] = []
  #messages = 0

  private constructor(fault: Fault, proxy: TcpProxy) {
    this.#fault = fault
    this.#proxy = proxy
  }

  static async start(url: string, fault: Fault): Promise<BadClients> {
    return new BadClients(fault, await TcpProxy.start(url))
  }

  /** Codes of those that are closed. */
  get codes(): number[] {
    return this.#clients.flatMap(({ closeCode }) => closeCode ?? [])
  }

  /** Messages that came to all of them. */
  get messages(): number {
    return this.#messages
  }

  /** Connects `count` of them over a line that is still sound, and waits until each has had its answer to this request. */
  async connect(count: number, method: string, params: object): Promise<void> {
    await Promise.all(
      Array.from({ length: count }, async () => {
        const client: BadClient = new WebSocket(this.#proxy.url)
        this.#clients.push(client)
        client.on('error', () => undefined).on('close', (code) => (client.closeCode = code))
        await once(client, 'open')
        ask(client, method, params)
        client.on('message', () => this.#messages++)
        await once(client, 'message')
      }),
    )
  }

  /** Each makes this request so many times, and waits for nothing. */
  ask(times: number, method: string, params: object): void {
    for (const client of this.#clients)
      for (let asked = 0; asked < times; asked++) ask(client, method, params)
  }

  /** The fault begins. */
  turnBad(): void {
    this.#proxy.apply(this.#fault)
  }

  heal(): void {
    this.#proxy.heal()
  }

  /** All are gone, and the line is sound again. */
  async leave(): Promise<void> {
    const open = this.#clients.filter(({ closeCode }) => closeCode === undefined)
    const gone = Promise.all(open.map((client) => once(client, 'close')))
    this.#proxy.cut()
    for (const client of open) client.terminate()
    await gone
    this.#proxy.heal()
    this.#clients.length = 0
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.terminate()
    await this.#proxy.stop()
  }
}

function ask(client: WebSocket, method: string, params: object): void {
  client.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }))
}
