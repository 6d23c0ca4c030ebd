import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'

/** Stands between a client and a server, and cuts or silences what goes through. */
export class TcpProxy {
  readonly #server
  readonly #pairs = new Set<[Socket, Socket]>()
  #refusing = false

  private constructor(targetPort: number, targetHost: string) {
    this.#server = createServer((client) => {
      if (this.#refusing) {
        client.destroy()
        return
      }
      const target = connect(targetPort, targetHost)
      const pair: [Socket, Socket] = [client, target]
      this.#pairs.add(pair)
      const end = (): void => {
        this.#pairs.delete(pair)
        client.destroy()
        target.destroy()
      }
      for (const socket of pair) socket.on('error', end).on('close', end)
      client.pipe(target)
      target.pipe(client)
    })
  }

  static async start(target: URL): Promise<TcpProxy> {
    const proxy = new TcpProxy(Number(target.port), target.hostname)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Cuts all connections; while `refusing`, new ones are cut too. */
  cut(refusing = false): void {
    this.#refusing = refusing
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
  }

  /** Nothing goes through the open connections any more, and nobody is told. */
  silence(): void {
    for (const [client, target] of this.#pairs) {
      client.unpipe()
      target.unpipe()
      client.resume()
      target.resume()
    }
  }

  stop(): void {
    this.cut(true)
    this.#server.close()
  }
}
