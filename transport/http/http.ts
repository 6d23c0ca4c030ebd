/** The few plain HTTP answers of a process beside the WebSocket and the HTTP API (api.ts). */
import type { IncomingMessage, ServerResponse } from 'node:http'

interface Health {
  readonly ok: boolean
  /** Shown as they are: no secrets. */
  readonly [detail: string]: unknown
}

export interface HttpOptions {
  readonly health: () => Health | Promise<Health>
  /** Where the WebSocket is; default `/ws`. */
  readonly path?: string
}

/** `GET /healthz` (200 or 503, JSON); 426 where only a WebSocket is; 404 else. Never rejects. */
export async function handleHttp(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpOptions,
): Promise<void> {
  const { path = '/ws' } = options
  const target = (request.url ?? '/').split('?', 1)[0]
  // What a refused request still sends is of no interest.
  request.resume()
  if (target === path) {
    response.setHeader('Upgrade', 'websocket')
    send(response, 426, 'text/plain; charset=utf-8', `Only WebSocket is spoken at ${path}.\n`)
  } else if (target !== '/healthz') {
    send(
      response,
      404,
      'text/plain; charset=utf-8',
      `There is nothing here. The WebSocket is at ${path}, the health at /healthz; /openapi.json lists what else.\n`,
    )
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD')
    send(response, 405, 'text/plain; charset=utf-8', 'The health is read with GET.\n')
  } else {
    await sendHealth(response, options.health)
  }
}

async function sendHealth(response: ServerResponse, read: HttpOptions['health']): Promise<void> {
  let health: Health
  try {
    health = await read()
  } catch {
    health = { ok: false, reason: 'the health could not be determined' }
  }
  send(response, health.ok ? 200 : 503, 'application/json', `${JSON.stringify(health)}\n`)
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}
