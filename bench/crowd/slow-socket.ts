/** A subscriber that stops reading as soon as it is one. */
import { once } from 'node:events'
import { WebSocket } from 'ws'

export class SlowSocket {
  readonly #socket: WebSocket

  static async open(url: string, id: string): Promise<SlowSocket> {
    const socket = new WebSocket(url, { perMessageDeflate: false })
    await once(socket, 'open')
    socket.send(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'subscribe', params: { id } }))
    await once(socket, 'message')
    socket.pause()
    return new SlowSocket(socket)
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('error', () => undefined)
  }

  close(): void {
    this.#socket.terminate()
  }
}
