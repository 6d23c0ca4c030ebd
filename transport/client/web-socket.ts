/** As much of a WebSocket as the client needs: browsers, Node from 22 on, and the package `ws` have it. */

export interface WebSocketLike {
  send(text: string): void
  close(code?: number, reason?: string): void
  onopen: ((event: never) => void) | null
  onmessage: ((event: never) => void) | null
  onclose: ((event: never) => void) | null
  onerror: ((event: never) => void) | null
}

export type WebSocketClass = new (url: string, protocols?: string[]) => WebSocketLike

/** The one that was given, or that of the browser or of Node. @throws Error that says what to do */
export function webSocketClass(given: WebSocketClass | undefined): WebSocketClass {
  const found = given ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket
  if (found === undefined)
    throw new Error(
      "there is no WebSocket here: give createClient one, e.g. import { WebSocket } from 'ws' (Node has its own from 22 on)",
    )
  return found
}
