/** An ordinary JSON-RPC client, for what is not measured: creating the sessions and reading them back. */
import { once } from 'node:events'
import { WebSocket } from 'ws'

interface Pending {
  resolve(result: unknown): void
  reject(error: Error): void
}

export class Control {
  readonly #socket: WebSocket
  readonly #pending = new Map<number, Pending>()
  #nextId = 1

  static async open(url: string): Promise<Control> {
    const socket = new WebSocket(url, { perMessageDeflate: false })
    await once(socket, 'open')
    return new Control(socket)
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data: Buffer) => {
      const reply = JSON.parse(data.toString()) as {
        id?: number
        result?: unknown
        error?: { message: string }
      }
      const pending = this.#pending.get(reply.id ?? 0)
      this.#pending.delete(reply.id ?? 0)
      if (reply.error === undefined) pending?.resolve(reply.result)
      else pending?.reject(new Error(reply.error.message))
    })
    socket.on('close', () => {
      for (const pending of this.#pending.values())
        pending.reject(new Error('the server closed the connection'))
    })
  }

  call(method: string, params: object): Promise<unknown> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
    })
  }

  /** Calls once for each of `all`, a few at a time. @returns the results in their order. */
  async callEach<T>(all: readonly T[], method: string, paramsOf: (each: T) => object): Promise<unknown[]> {
    const results: unknown[] = []
    for (let from = 0; from < all.length; from += 32) {
      const some = all.slice(from, from + 32)
      results.push(...(await Promise.all(some.map((each) => this.call(method, paramsOf(each))))))
    }
    return results
  }

  close(): void {
    this.#socket.close()
  }
}
