/** `GET /openapi.json`: the routes and the schemas of the wire as an OpenAPI 3.1 document. */
import { errorKinds, type ErrorCode } from '../../actors/errors.ts'
import { PROTOCOL_VERSION, commonErrors, notifications } from '../protocol/messages.ts'
import { jsonSchemaOf, type JsonSchema } from '../protocol/openrpc.ts'
import type { Input } from './inputs.ts'
import { PROBLEM_TYPE } from './problem.ts'
import { routes, type Route } from './routes.ts'

/** Errors of JSON-RPC's frames, which no HTTP request meets. */
const OF_FRAMES: readonly ErrorCode[] = ['method_not_found']

const successes: Readonly<Record<number, string>> = {
  200: 'Done; the body tells what there is now.',
  201: 'The session was created.',
  202: 'Handed to those who listen now.',
  304: 'The client holds the newest view.',
}

/** JSON text. `base`: what the paths follow. */
export function openApiText(base: string, isAuthenticated: boolean): string {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) (paths[route.path] ??= {})[route.verb.toLowerCase()] = operation(route)
  return JSON.stringify({
    openapi: '3.1.0',
    info: {
      title: 'Troupe',
      version: String(PROTOCOL_VERSION),
      description: 'Shared sessions over HTTP; the same methods as JSON-RPC over the WebSocket.',
    },
    servers: [{ url: base === '' ? '/' : base }],
    paths,
    components: {
      schemas: { Problem: problem() },
      ...(isAuthenticated ? { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } } : {}),
    },
    ...(isAuthenticated ? { security: [{ bearer: [] }] } : {}),
  })
}

function operation(route: Route): object {
  const { schemas } = route
  const params = schemas === null ? {} : jsonSchemaOf(schemas.params)
  return {
    operationId: route.name,
    summary: schemas?.summary ?? 'This description.',
    parameters: [
      ...(route.path.includes('{id}')
        ? [{ name: 'id', in: 'path', required: true, schema: params.properties?.['id'] ?? {} }]
        : []),
      ...route.inputs.map(parameter),
    ],
    ...(route.body === null
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: bodySchema(route, params) } },
          },
        }),
    responses: {
      ...Object.fromEntries(route.statuses.map((status) => [status, success(route, status)])),
      ...failures(route),
    },
  }
}

function parameter({ name, in: place, required, description, schema }: Input): object {
  return { name, in: place, description, required: required ?? false, schema }
}

function bodySchema({ body, inputs }: Route, params: JsonSchema): JsonSchema {
  if (body !== 'params') return params.properties?.[body ?? ''] ?? {}
  const elsewhere = new Set(['subscribe', ...inputs.map(({ param }) => param)])
  const own = Object.entries(params.properties ?? {}).filter(([name]) => !elsewhere.has(name))
  return { ...params, properties: Object.fromEntries(own) }
}

function success(route: Route, status: number): object {
  const description = successes[status] ?? ''
  const hasTag =
    route.method === 'createSession' || route.method === 'getSession' || route.method === 'updateSession'
  const headers = {
    ...(hasTag ? { ETag: header('`"<epoch>-<version>"`') } : {}),
    ...(route.method === 'createSession' ? { Location: header('Where the session is.') } : {}),
  }
  if (status === 304) return { description, headers }
  return { description, headers, content: content(route) }
}

function header(description: string): object {
  return { description, schema: { type: 'string' } }
}

function content({ answers, schemas }: Route): object {
  switch (answers) {
    case 'document':
      return { 'application/json': { schema: { type: 'object' } } }
    case 'events':
      return {
        'text/event-stream': {
          schema: {
            type: 'string',
            description:
              'Server-sent events; `event` is one of `x-events`, `data` JSON as described there, `id` (of views) `<epoch>-<version>`.',
          },
          'x-events': Object.fromEntries(
            Object.entries(notifications).map(([name, { summary, params }]) => [
              name,
              { description: summary, schema: jsonSchemaOf(params) },
            ]),
          ),
        },
      }
    case 'result': {
      const result = schemas === null ? {} : jsonSchemaOf(schemas.result)
      // Where the wire has null, HTTP has 404.
      const present = result.anyOf?.find(({ type }) => type !== 'null') ?? result
      return { 'application/json': { schema: present } }
    }
  }
}

/** One answer for each status, with the words that it can carry. */
function failures(route: Route): object {
  if (route.schemas === null) return {}
  const byStatus = new Map<number, ErrorCode[]>()
  const add = (status: number, code: ErrorCode): void => {
    const codes = byStatus.get(status) ?? []
    if (!codes.includes(code)) byStatus.set(status, [...codes, code])
  }
  const { errors } = route.schemas
  for (const code of [...commonErrors, ...errors]) {
    if (OF_FRAMES.includes(code)) continue
    add(code === 'version_conflict' ? 412 : errorKinds[code].http, code)
  }
  if (route.method === 'getSession') add(404, 'not_found')
  if (route.body !== null) {
    add(408, 'timeout')
    add(415, 'invalid_request')
  }
  add(503, 'rate_limited')
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      status,
      {
        description: codes.map((code) => `\`${code}\`: ${errorKinds[code].meaning}`).join('\n'),
        content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  )
}

function problem(): object {
  return {
    type: 'object',
    description: 'RFC 9457, with the word that programs go by.',
    required: ['type', 'title', 'status', 'detail', 'code', 'retryable', 'details'],
    properties: {
      type: { type: 'string' },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string', description: 'A sentence for people.' },
      code: { type: 'string', enum: Object.keys(errorKinds) },
      retryable: { type: 'boolean', description: 'Whether the same request may succeed later.' },
      details: { type: 'object' },
    },
  }
}
