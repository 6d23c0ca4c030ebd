import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

/** Stands between a client and its server, and loses, holds back or cuts what goes through. */
export class TcpProxy {
  readonly #server: Server
  #target: URL
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #swallowed = 0
  #isSwallowing = false
  #isRefusing = false
  #isPaused = false
  #replyDelayMs = 0

  private constructor(target: URL) {
    this.#target = target
    this.#server = createServer((client) => this.#accept(client))
  }

  /** @param target URL of the server; everything but host and port is kept in {@link url} */
  static async start(target: string): Promise<TcpProxy> {
    const proxy = new TcpProxy(new URL(target))
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url(): string {
    const url = new URL(this.#target)
    url.host = `127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`
    return url.href
  }

  /** New connections go there; those that are open stay where they are. */
  redirect(target: string): void {
    this.#target = new URL(target)
  }

  /** Bytes of replies that were swallowed. */
  get swallowed(): number {
    return this.#swallowed
  }

  /** From now on requests arrive and their replies do not. */
  swallowReplies(): void {
    this.#isSwallowing = true
  }

  /** Replies come through later by this much, in order. */
  delayReplies(ms: number): void {
    this.#replyDelayMs = ms
  }

  /** Nothing comes through in either direction until {@link heal}; nothing is lost. */
  pause(): void {
    this.#isPaused = true
    for (const pair of this.#pairs) for (const socket of pair) socket.pause()
  }

  /** Cuts all connections. `refusing`: new ones are cut too, until {@link heal}. */
  cut({ refusing = false } = {}): void {
    this.#isRefusing = refusing
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  /** Everything comes through again. Connections that lost replies are cut: they would answer one late. */
  heal(): void {
    if (this.#isSwallowing) this.cut()
    this.#isSwallowing = this.#isRefusing = this.#isPaused = false
    this.#replyDelayMs = 0
    for (const pair of this.#pairs) for (const socket of pair) socket.resume()
  }

  async stop(): Promise<void> {
    this.cut({ refusing: true })
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
  }

  #accept(client: Socket): void {
    if (this.#isRefusing) {
      client.destroy()
      return
    }
    const target = connect(Number(this.#target.port), this.#target.hostname)
    const pair = [client, target] as const
    this.#pairs.add(pair)
    for (const socket of pair) {
      socket.setNoDelay(true)
      if (this.#isPaused) socket.pause()
      const end = (): void => {
        this.#pairs.delete(pair)
        client.destroy()
        target.destroy()
      }
      socket.on('error', end).on('close', end)
    }
    client.on('data', (data) => target.write(data))
    target.on('data', (data) => {
      if (this.#isSwallowing) this.#swallowed += data.length
      else if (this.#replyDelayMs > 0) setTimeout(() => client.write(data), this.#replyDelayMs)
      else client.write(data)
    })
  }
}
