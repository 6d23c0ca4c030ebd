/** Who may open a WebSocket, decided before it is one; refusals say in a sentence what to do. */
import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

export interface Refused {
  readonly status: 401 | 403 | 404 | 426 | 429 | 503
  readonly sentence: string
}

/**
 * Whether a page of this origin may connect. Programs send no Origin and are not pages; without a list only pages of
 * this machine may, so that no site that somebody visits can talk to a server on their machine.
 * `allowed`: origins as browsers send them (`https://example.org`); `*`: any.
 */
export function isOriginAllowed(origin: string | undefined, allowed: readonly string[] | undefined): boolean {
  if (origin === undefined) return true
  if (allowed !== undefined) return allowed.includes('*') || allowed.includes(origin)
  return isLocalPage(origin)
}

function isLocalPage(origin: string): boolean {
  let url: URL
  try {
    url = new URL(origin)
  } catch {
    return false
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return false
  return ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname) || url.hostname.endsWith('.localhost')
}

/** Whether a connection that came in at this address of ours can only come from this machine. */
export function isLoopback(localAddress: string | undefined): boolean {
  const address = (localAddress ?? '').replace(/^::ffff:/, '')
  return address === '::1' || address.startsWith('127.')
}

/** The path of a request's target, without the query. */
export function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0] ?? '/'
}

export function isWebSocketUpgrade(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket'
}

/** Answers on the bare socket, and ends it. */
export function refuse(stream: Duplex, { status, sentence }: Refused): void {
  const body = `${sentence}\n`
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(status === 426 ? ['Upgrade: websocket'] : []),
    ...(status === 401 ? ['WWW-Authenticate: Bearer'] : []),
    ...(status === 503 || status === 429 ? ['Retry-After: 1'] : []),
  ]
  stream.once('finish', () => stream.destroy())
  stream.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}
