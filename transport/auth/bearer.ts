/** Where a request may carry its token. */
import type { IncomingMessage } from 'node:http'

/** A page cannot set headers of a WebSocket, but offer subprotocols: `troupe.v1, bearer.<token>`. */
const OFFERED = 'bearer.'

/** The token of `Authorization: Bearer …`, or of an offered subprotocol; `null`: there is none. */
export function bearerToken({ headers }: IncomingMessage): string | null {
  const { authorization } = headers
  if (authorization !== undefined) {
    const [, token] = /^Bearer +(\S+) *$/i.exec(authorization) ?? []
    // Another scheme is no token, and is told apart from none: it is to be refused.
    return token ?? ''
  }
  const offered = headers['sec-websocket-protocol']?.split(',') ?? []
  const found = offered.map((each) => each.trim()).find((each) => each.startsWith(OFFERED))
  return found === undefined ? null : found.slice(OFFERED.length)
}
