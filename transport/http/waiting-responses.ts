/**
 * Responses that wait behind others of their connection (pipelining). When that closes, Node tells the one whose turn it is and
 * says nothing to those that wait: what they hold would be held for ever. So they are told here.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export class WaitingResponses {
  readonly #ofSocket = new WeakMap<Socket, Set<ServerResponse>>()

  /** It emits `close` from now on, however its connection ends. */
  add(response: ServerResponse): void {
    const { socket } = response.req
    let waiting = this.#ofSocket.get(socket)
    if (waiting === undefined) {
      waiting = new Set()
      this.#ofSocket.set(socket, waiting)
      const all = waiting
      socket.once('close', () => closeAll(all))
    }
    const own = waiting
    own.add(response)
    response.once('close', () => own.delete(response))
  }

  /** How many of its connection are under way. */
  besides(response: ServerResponse): number {
    return (this.#ofSocket.get(response.req.socket)?.size ?? 1) - 1
  }
}

function closeAll(responses: ReadonlySet<ServerResponse>): void {
  for (const response of [...responses]) {
    if (response.socket !== null) continue
    response.destroy()
    response.emit('close')
  }
}
