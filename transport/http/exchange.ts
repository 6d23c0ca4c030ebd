/** One request and its answer, as the routes see them. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Caller, Clock, Principal, SessionService } from '../../actors/ports.ts'
import type { TroupeError } from '../../actors/errors.ts'
import type { ListRequest, SessionPage } from '../../actors/session-list.ts'
import type { FanOut } from '../feed/fan-out.ts'
import type { GatewayLimits } from '../gateway/limits.ts'
import type { Arrival, LastingRequests } from './lasting-requests.ts'

/** A page of the sessions that a caller may see. */
export type ListSessions = (request: ListRequest, caller: Caller) => Promise<SessionPage>

/** What the routes work with. */
export interface HttpContext {
  readonly service: SessionService
  readonly fanOut: FanOut
  readonly clock: Clock
  readonly limits: GatewayLimits
  readonly lasting: LastingRequests
  /** See `listSessions`. @throws TroupeError */
  readonly list: ListSessions
  /** What was thrown as an error for the client; faults are logged. */
  readonly blame: (what: string, thrown: unknown) => TroupeError
  /** JSON text of the OpenAPI document for this base path. */
  readonly describe: (base: string) => string
}

export interface Exchange extends Arrival {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** What the routes' paths follow, without a slash at its end. */
  readonly base: string
  /** The session's id as the path has it, not validated; `undefined`: the path has none. */
  readonly id: string | undefined
  readonly query: URLSearchParams
  /** Parsed and not validated; `undefined`: the route takes none. */
  readonly body: unknown
  readonly principal: Principal | null
  /** When that ends, in milliseconds since 1970; `null`: it does not. */
  readonly expiresAt: number | null
  readonly caller: Caller
}

export interface Reply {
  readonly status: number
  readonly headers?: OutgoingHttpHeaders
  /** JSON text; `null`: no body. */
  readonly body: string | null
}
