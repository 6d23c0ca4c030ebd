/**
 * A WebSocket that knows whose it is: so all sockets share their listeners. Closures for each would be a tenth of what
 * an idle connection takes (measured by `npm run bench:idle-connections`).
 */
import { WebSocket, type RawData } from 'ws'

/** Whoever serves a socket; called by nobody else. */
export interface SocketOwner {
  received(data: RawData, isBinary: boolean): void
  ponged(): void
  /** The socket closes by itself then. */
  broke(error: Error): void
  /** The socket is closed: the last that is heard of it. */
  ended(): void
}

export class ClientSocket extends WebSocket {
  owner: SocketOwner | null = null
}

export function serveSocket(socket: ClientSocket, owner: SocketOwner): void {
  socket.owner = owner
  socket.on('message', onMessage)
  socket.on('pong', onPong)
  socket.on('error', onError)
  socket.on('close', onClose)
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  ownerOf(this)?.received(data, isBinary)
}

function onPong(this: WebSocket): void {
  ownerOf(this)?.ponged()
}

function onError(this: WebSocket, error: Error): void {
  ownerOf(this)?.broke(error)
}

function onClose(this: WebSocket): void {
  ownerOf(this)?.ended()
}

function ownerOf(socket: WebSocket): SocketOwner | null {
  return socket instanceof ClientSocket ? socket.owner : null
}
