/**
 * The HTTP API beside the WebSocket: the same methods, one request each, for callers that keep no connection, and
 * updates as server-sent events. It has no server of its own: {@link HttpApi.handle} takes what a server gets.
 */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { BlockList } from 'node:net'
import { TroupeError, errorKinds } from '../../actors/errors.ts'
import type { Clock, Logger, SessionService } from '../../actors/ports.ts'
import type { Identity } from '../auth/authenticator.ts'
import type { FanOut } from '../feed/fan-out.ts'
import { AddressPlaces } from '../gateway/address-places.ts'
import { clientAddress } from '../gateway/client-address.ts'
import { defaultLimits, type GatewayLimits } from '../gateway/limits.ts'
import { describeFault, toTroupeError } from '../protocol/failures.ts'
import { corsHeaders, preflightHeaders, refusalOf, type AdmissionRules } from './admission.ts'
import { Abandoned, readJson } from './body.ts'
import type { Exchange, HttpContext, ListSessions, Reply } from './exchange.ts'
import { LastingRequests } from './lasting-requests.ts'
import { openApiText } from './openapi.ts'
import { HttpError, PROBLEM_TYPE, problemHeaders, problemText, statusOf } from './problem.ts'
import { RequestLimits } from './request-limits.ts'
import { allowedVerbs, findRoutes, type Found } from './route-search.ts'
import { WaitingResponses } from './waiting-responses.ts'

export interface HttpApiOptions {
  readonly service: SessionService
  readonly fanOut: FanOut
  readonly clock: Clock
  readonly logger: Logger
  /** Origins of pages that may ask, `*` for any; default: pages of this machine only. */
  readonly origins?: readonly string[]
  readonly limits?: Partial<GatewayLimits>
  /**
   * Who sends a request; `null`: nobody that is known, which is answered with 401. May throw a TroupeError instead.
   * Default: nobody is asked who they are.
   */
  readonly authenticate?: (request: IncomingMessage) => Promise<Identity | null>
  /** Where lists of sessions come from; default: nowhere. */
  readonly list?: ListSessions
  /** Open connections of other kinds, which count towards `maxConnections` too. */
  readonly otherConnections?: () => number
  /** Connections by address, where those of other kinds count too; default: own. */
  readonly places?: AddressPlaces
  /** Proxies whose `X-Forwarded-For` is believed. */
  readonly proxies?: BlockList | null
}

const NOBODY = { principal: null, expiresAt: null }

const noList: ListSessions = async () => {
  throw new TroupeError('unavailable', 'This server lists no sessions.')
}

export class HttpApi {
  readonly #options: HttpApiOptions
  readonly #limits: GatewayLimits
  readonly #rules: AdmissionRules
  readonly #lasting: LastingRequests
  readonly #context: HttpContext
  readonly #open = new Set<ServerResponse>()
  readonly #waiting = new WaitingResponses()
  readonly #underWay: RequestLimits
  readonly #descriptions = new Map<string, string>()
  #isLeaving = false
  #whenEmpty: (() => void) | null = null

  constructor(options: HttpApiOptions) {
    const { service, fanOut, clock, origins, authenticate } = options
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#rules = { origins, loopbackOnly: authenticate === undefined }
    const { heartbeatMs, maxConnections, maxConnectionsPerAddress } = this.#limits
    this.#underWay = new RequestLimits(this.#limits, this.#waiting, clock)
    this.#lasting = new LastingRequests({
      clock,
      heartbeatMs,
      maxConnections,
      maxConnectionsPerAddress,
      places: options.places ?? new AddressPlaces(maxConnectionsPerAddress),
      otherConnections: options.otherConnections ?? (() => 0),
    })
    this.#context = {
      service,
      fanOut,
      clock,
      limits: this.#limits,
      lasting: this.#lasting,
      list: options.list ?? noList,
      blame: (what, thrown) => this.#blame(what, thrown),
      describe: (base) => this.#describe(base),
    }
  }

  /** Requests that last: event streams and waits. */
  get connections(): number {
    return this.#lasting.size
  }

  /**
   * Answers a request if its path is one of the API's, under `base` (such as `/api`). Never rejects.
   * @returns whether it was; if not, the request is as it was. A stream goes on after this has resolved
   */
  async handle(request: IncomingMessage, response: ServerResponse, base = ''): Promise<boolean> {
    const root = base.replace(/\/+$/, '')
    const [path = '/', query = ''] = splitOnce(request.url ?? '/', '?')
    const found = path.startsWith(`${root}/`) ? findRoutes(path.slice(root.length)) : null
    if (found === null) return false
    this.#opened(response)
    try {
      const reply = await this.#answer(found, { request, response, base: root }, new URLSearchParams(query))
      if (reply !== null) this.#send(response, reply, 'application/json')
    } catch (thrown) {
      this.#refuse(`${request.method ?? ''} ${found.routes[0]?.path ?? ''}`, response, thrown)
    }
    return true
  }

  /** Takes no more requests, sends streams and waits away, and lets the others end; at most for `deadlineMs`. */
  async drain({ deadlineMs }: { readonly deadlineMs: number }): Promise<void> {
    this.#isLeaving = true
    const deadline = this.#options.clock.setTimeout(() => this.close(), deadlineMs)
    await this.#lasting.seeOff(deadlineMs)
    if (this.#open.size > 0) await new Promise<void>((resolve) => (this.#whenEmpty = resolve))
    deadline.cancel()
  }

  /** Cuts off whatever is under way. */
  close(): void {
    this.#isLeaving = true
    this.#lasting.cut()
    for (const response of this.#open) response.destroy()
  }

  async #answer(
    found: Found,
    { request, response, base }: Pick<Exchange, 'request' | 'response' | 'base'>,
    query: URLSearchParams,
  ): Promise<Reply | null> {
    response.setHeader('X-Content-Type-Options', 'nosniff')
    const refused = refusalOf(request, this.#rules)
    if (refused !== null) throw refused
    setHeaders(response, corsHeaders(request))
    const allow = allowedVerbs(found)
    const address = clientAddress(request, this.#options.proxies ?? null)
    const lasts = this.#underWay.take(response, address)
    if (request.method === 'OPTIONS') return { status: 204, headers: preflightHeaders(allow), body: null }
    const verb = request.method === 'HEAD' ? 'GET' : request.method
    const route = found.routes.find((each) => each.verb === verb)
    if (route === undefined)
      throw new HttpError(405, 'method_not_found', `This path takes ${allow}.`, { headers: { Allow: allow } })
    if (this.#isLeaving)
      throw new TroupeError('draining', 'This process is leaving. Nothing was done: send it again.')
    const { principal, expiresAt } = await this.#authenticate(request)
    const body = route.body === null ? undefined : await readJson(request, this.#limits, this.#options.clock)
    // The response stands for the connection that carries the reply.
    const caller = { principal, origin: response }
    return route.answer(this.#context, {
      request,
      response,
      base,
      id: found.id,
      query,
      body,
      principal,
      expiresAt,
      caller,
      address,
      lasts,
    })
  }

  async #authenticate(request: IncomingMessage): Promise<Identity | typeof NOBODY> {
    const { authenticate } = this.#options
    if (authenticate === undefined) return NOBODY
    const identity = await authenticate(request)
    if (identity === null) throw new TroupeError('unauthenticated', 'Say who you are: see WWW-Authenticate.')
    return identity
  }

  #opened(response: ServerResponse): void {
    this.#waiting.add(response)
    this.#open.add(response)
    response.once('close', () => {
      this.#open.delete(response)
      if (this.#open.size === 0) this.#whenEmpty?.()
    })
  }

  #refuse(what: string, response: ServerResponse, thrown: unknown): void {
    if (thrown instanceof Abandoned) {
      response.destroy()
      return
    }
    const error = this.#blame(what, thrown)
    if (response.headersSent) {
      response.destroy()
      return
    }
    this.#send(
      response,
      { status: statusOf(error), headers: problemHeaders(error), body: problemText(error) },
      PROBLEM_TYPE,
    )
  }

  #send(response: ServerResponse, { status, headers = {}, body }: Reply, type: string): void {
    if (response.destroyed) return
    if (!('Cache-Control' in headers)) response.setHeader('Cache-Control', 'no-store')
    // The next request of this connection is for another process.
    if (this.#isLeaving) response.setHeader('Connection', 'close')
    setHeaders(response, headers)
    if (body !== null) {
      response.setHeader('Content-Type', type)
      response.setHeader('Content-Length', Buffer.byteLength(body))
    }
    response.writeHead(status)
    response.end(body === null || response.req.method === 'HEAD' ? undefined : body)
  }

  #blame(what: string, thrown: unknown): TroupeError {
    const error = toTroupeError(thrown)
    // What a client waited for and did not come is its own affair.
    const isOwn = error.code === 'timeout' && error.details['outcome'] === undefined
    const level = isOwn ? 'debug' : errorKinds[error.code].log
    if (level !== 'debug') this.#options.logger[level]({ what, ...describeFault(error) }, 'a request failed')
    return error
  }

  #describe(base: string): string {
    const known = this.#descriptions.get(base)
    if (known !== undefined) return known
    const text = openApiText(base, this.#options.authenticate !== undefined)
    this.#descriptions.set(base, text)
    return text
  }
}

function setHeaders(response: ServerResponse, headers: OutgoingHttpHeaders): void {
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) response.setHeader(name, value)
}

function splitOnce(text: string, at: string): string[] {
  const index = text.indexOf(at)
  return index < 0 ? [text] : [text.slice(0, index), text.slice(index + 1)]
}
