/** Who may send requests, by the same rules as for opening a WebSocket, and what browsers are told of them (CORS). */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { isLoopback, isOriginAllowed } from '../gateway/upgrade.ts'
import { HttpError } from './problem.ts'

export interface AdmissionRules {
  /** Origins of pages that may ask, `*` for any; default: pages of this machine only. */
  readonly origins?: readonly string[] | undefined
  /** Refuse what comes in at another address than loopback: nobody is authenticated. */
  readonly loopbackOnly: boolean
}

const ALLOWED_HEADERS = 'Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID'
const EXPOSED_HEADERS = 'ETag, Location, Retry-After'
const PREFLIGHT_MAX_AGE_S = 600

/** Why this request is not taken at all; `null`: it is. */
export function refusalOf(request: IncomingMessage, rules: AdmissionRules): HttpError | null {
  const { origin, host } = request.headers
  if (rules.loopbackOnly && !isLoopback(request.socket.localAddress)) {
    return forbidden('No authentication is configured, so only connections from this machine are served.')
  }
  if (!isOriginAllowed(origin, rules.origins)) {
    return forbidden(
      `Pages of ${origin ?? ''} may not ask; add the origin to the allowed ones (ALLOWED_ORIGINS, --allowed-origins).`,
    )
  }
  if (rules.loopbackOnly && !isHostOfOurs(host, rules.origins)) {
    return forbidden(
      `Without authentication this server answers to names of this machine only, not to ${host ?? ''}; add its origin to the allowed ones (ALLOWED_ORIGINS, --allowed-origins).`,
    )
  }
  return null
}

/**
 * A page reads from its own origin without an `Origin` header: one whose name was made to point at this machine (DNS
 * rebinding) is told by the name that it asks for. Programs without `Host` are no pages.
 */
function isHostOfOurs(host: string | undefined, origins: readonly string[] | undefined): boolean {
  if (host === undefined || isOriginAllowed(`http://${host}`, undefined)) return true
  return origins?.some((origin) => origin === '*' || origin.endsWith(`://${host}`)) ?? false
}

/** For pages of other origins that may read the answer; only for requests that were not refused. */
export function corsHeaders({ headers: { origin } }: IncomingMessage): OutgoingHttpHeaders {
  if (origin === undefined) return { Vary: 'Origin' }
  return {
    Vary: 'Origin',
    'Access-Control-Allow-Origin': origin,
    'Access-Control-Expose-Headers': EXPOSED_HEADERS,
  }
}

/** Answer to OPTIONS; `allow`: the methods of the path. */
export function preflightHeaders(allow: string): OutgoingHttpHeaders {
  return {
    Allow: allow,
    'Access-Control-Allow-Methods': allow,
    'Access-Control-Allow-Headers': ALLOWED_HEADERS,
    'Access-Control-Max-Age': PREFLIGHT_MAX_AGE_S,
  }
}

function forbidden(sentence: string): HttpError {
  return new HttpError(403, 'forbidden', sentence)
}
