/** All routes, in one table: what of a request makes the params of which method, and what is answered. */
import { TroupeError } from '../../actors/errors.ts'
import type { SessionRecord } from '../../actors/session.ts'
import { invalidParams, notShown } from '../protocol/failures.ts'
import { listSessions } from '../protocol/list-sessions.ts'
import { methods, type MethodName, type MethodSchema, type Params } from '../protocol/messages.ts'
import { entityTag, isHeld } from './entity-tag.ts'
import type { Exchange, HttpContext, Reply } from './exchange.ts'
import {
  idempotencyKey,
  ifMatch,
  ifNoneMatch,
  lastEventId,
  listInputs,
  since,
  timeoutMs,
  until,
  type Input,
} from './inputs.ts'
import { openUpdates, waitForRecord } from './lasting-routes.ts'
import { HttpError } from './problem.ts'

interface RouteForm {
  readonly verb: 'GET' | 'POST' | 'DELETE'
  readonly path: '/openapi.json' | '/sessions' | `/sessions/{id}${'' | `/${string}`}`
  readonly inputs: readonly Input[]
  /** Which param the body is; `params`: all of them that are no inputs. */
  readonly body: 'event' | 'message' | 'params' | null
  /** Successes beside 200, or in its place. */
  readonly statuses: readonly number[]
  readonly answers: 'result' | 'events' | 'document'
}

export interface Route extends RouteForm {
  /** The method of the wire that it is; `null`: none, or one of HTTP alone. */
  readonly method: MethodName | null
  readonly name: string
  /** What it takes and answers; `null`: a document. */
  readonly schemas: MethodSchema | null
  /** @returns `null` if the answer is on its way already. @throws TroupeError */
  readonly answer: (context: HttpContext, exchange: Exchange) => Promise<Reply | null>
}

type Run<M extends MethodName> = (
  context: HttpContext,
  params: Params<M>,
  exchange: Exchange,
) => Promise<Reply | null>

function route<M extends MethodName>(method: M, form: RouteForm, run: Run<M>): Route {
  return {
    ...form,
    method,
    name: method,
    schemas: methods[method],
    answer(context, exchange) {
      const { params: schema } = methods[method]
      const parsed = schema.safeParse(paramsOf(form, exchange))
      if (!parsed.success) throw invalidParams(method, schema, parsed.error)
      return run(context, parsed.data as Params<M>, exchange)
    },
  }
}

const listForm: RouteForm = {
  verb: 'GET',
  path: '/sessions',
  inputs: listInputs,
  body: null,
  statuses: [200],
  answers: 'result',
}

export const routes: readonly Route[] = [
  route(
    'createSession',
    {
      verb: 'POST',
      path: '/sessions',
      inputs: [idempotencyKey],
      body: 'params',
      statuses: [201, 200],
      answers: 'result',
    },
    async ({ service }, params, { caller, base }) => {
      const { created, record } = await service.create(params, caller)
      const reply = viewReply(service, record, caller.principal, { created })
      const Location = `${base}/sessions/${record.id}`
      return { ...reply, status: created ? 201 : 200, headers: { ...reply.headers, Location } }
    },
  ),
  {
    ...listForm,
    method: null,
    name: 'listSessions',
    schemas: listSessions,
    async answer({ list }, exchange) {
      const { params: schema } = listSessions
      const parsed = schema.safeParse(paramsOf(listForm, exchange))
      if (!parsed.success) throw invalidParams('listSessions', schema, parsed.error)
      return { status: 200, body: JSON.stringify(await list(parsed.data, exchange.caller)) }
    },
  },
  route(
    'getSession',
    {
      verb: 'GET',
      path: '/sessions/{id}',
      inputs: [ifNoneMatch],
      body: null,
      statuses: [200, 304],
      answers: 'result',
    },
    async ({ service }, { id }, { request, caller }) => {
      const record = await service.get(id, caller)
      if (record === null) throw new TroupeError('not_found', `There is no session ${id}.`)
      if (isHeld(request.headers['if-none-match'], record))
        return { status: 304, headers: viewHeaders(record), body: null }
      return viewReply(service, record, caller.principal)
    },
  ),
  route(
    'updateSession',
    {
      verb: 'POST',
      path: '/sessions/{id}/events',
      inputs: [idempotencyKey, ifMatch],
      body: 'event',
      statuses: [200],
      answers: 'result',
    },
    async ({ service }, params, { caller }) => {
      const { outcome, applied, record } = await service.update(params, caller).catch((thrown: unknown) => {
        throw preconditionFailed(thrown)
      })
      const done = { outcome, ...(applied === undefined ? {} : { applied }) }
      return viewReply(service, record, caller.principal, done)
    },
  ),
  route(
    'deleteSession',
    { verb: 'DELETE', path: '/sessions/{id}', inputs: [], body: null, statuses: [200], answers: 'result' },
    async ({ service }, { id }, { caller, request }) => {
      // What a client believes to be a condition must not be passed over.
      if (request.headers['if-match'] !== undefined)
        throw new TroupeError('invalid_params', 'If-Match is not taken here: a session is deleted as it is.')
      return { status: 200, body: `{"deleted":${await service.delete(id, caller)}}` }
    },
  ),
  route(
    'broadcastToSession',
    {
      verb: 'POST',
      path: '/sessions/{id}/messages',
      inputs: [],
      body: 'message',
      statuses: [202],
      answers: 'result',
    },
    async ({ service }, { id, message }, { caller }) => {
      await service.broadcast(id, message, caller)
      return { status: 202, body: '{}' }
    },
  ),
  route(
    'waitFor',
    {
      verb: 'GET',
      path: '/sessions/{id}/wait',
      inputs: [until, timeoutMs],
      body: null,
      statuses: [200],
      answers: 'result',
    },
    async (context, params, exchange) => {
      const record = await waitForRecord(context, params, exchange)
      const { service } = context
      return viewReply(service, record, exchange.principal)
    },
  ),
  route(
    'subscribe',
    {
      verb: 'GET',
      path: '/sessions/{id}/updates',
      inputs: [since, lastEventId],
      body: null,
      statuses: [200],
      answers: 'events',
    },
    async (context, params, exchange) => {
      await openUpdates(context, params, exchange)
      return null
    },
  ),
  {
    method: null,
    name: 'describe',
    schemas: null,
    verb: 'GET',
    path: '/openapi.json',
    inputs: [],
    body: null,
    statuses: [200],
    answers: 'document',
    async answer({ describe }, { base, query }) {
      checkQuery([], query)
      return { status: 200, body: describe(base) }
    },
  },
]

/** What the request holds as the params of its method; not validated. @throws TroupeError `invalid_params` */
function paramsOf({ inputs, body: place }: RouteForm, exchange: Exchange): Record<string, unknown> {
  const { request, query, id, body } = exchange
  checkQuery(inputs, query)
  const params: Record<string, unknown> = {}
  if (place === 'params') {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new TroupeError('invalid_params', 'The body must be an object.')
    for (const name of ['key', 'subscribe'])
      if (name in body) throw new TroupeError('invalid_params', `${name}: ${insteadOf(name)}`)
    Object.assign(params, body)
  } else if (place !== null) params[place] = body
  if (id !== undefined) params['id'] = id
  for (const { in: side, name, param, fallback, read } of inputs) {
    if (param === null) continue
    const given = side === 'query' ? query.get(name) : request.headers[name.toLowerCase()]
    const value = typeof given === 'string' ? read(given) : fallback
    if (value !== undefined) params[param] = value
  }
  return params
}

function insteadOf(name: string): string {
  return name === 'key'
    ? 'is given as the header Idempotency-Key'
    : 'is done by GET /sessions/{id}/updates, once the session is there'
}

/** A misspelt member must not be passed over. @throws TroupeError `invalid_params` */
function checkQuery(inputs: readonly Input[], query: URLSearchParams): void {
  const known = inputs.filter((input) => input.in === 'query').map(({ name }) => name)
  for (const name of query.keys()) {
    if (known.includes(name) && query.getAll(name).length === 1) continue
    const all = known.length === 0 ? 'it takes none' : `there are: ${known.join(', ')}, each once`
    throw new TroupeError('invalid_params', `The query has ${JSON.stringify(name.slice(0, 64))}; ${all}.`)
  }
}

function viewHeaders(record: SessionRecord): NonNullable<Reply['headers']> {
  // Kept by the client alone, and asked for anew each time: with its ETag that is cheap.
  return { ETag: entityTag(record), 'Cache-Control': 'private, no-cache' }
}

/** The view's members, after those of what was done. @throws TroupeError that says what was done */
function viewReply(
  service: HttpContext['service'],
  record: SessionRecord,
  principal: Exchange['principal'],
  done: Readonly<Record<string, unknown>> = {},
): Reply {
  const head = JSON.stringify(done)
  const isDone = head !== '{}'
  let view: string
  try {
    view = service.encodeView(record, principal)
  } catch (thrown) {
    throw isDone ? notShown(thrown, done) : thrown
  }
  return {
    status: 200,
    headers: viewHeaders(record),
    body: isDone ? `${head.slice(0, -1)},${view.slice(1)}` : view,
  }
}

/** `ifVersion` comes as `If-Match` only, for which HTTP has a status of its own. */
function preconditionFailed(thrown: unknown): unknown {
  if (!(thrown instanceof TroupeError) || thrown.code !== 'version_conflict') return thrown
  const { epoch, version } = thrown.details
  const headers =
    typeof epoch === 'string' && typeof version === 'number' ? { ETag: entityTag({ epoch, version }) } : {}
  return new HttpError(412, 'version_conflict', thrown.message, { headers, details: thrown.details })
}
