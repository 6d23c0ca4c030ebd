/** What requests hold beside path and body: members of the query, and headers, as params of the wire's methods. */
import { TroupeError } from '../../actors/errors.ts'
import { parseValue } from '../protocol/codec.ts'
import { listSessions } from '../protocol/list-sessions.ts'
import { methods } from '../protocol/messages.ts'
import { jsonSchemaOf, type JsonSchema } from '../protocol/openrpc.ts'
import { parseIfMatch, parsePosition } from './entity-tag.ts'

export interface Input {
  readonly in: 'query' | 'header'
  readonly name: string
  /** The param that it is; `null`: it is no param, the route looks at it by itself. */
  readonly param: string | null
  readonly required?: boolean
  /** Value of the param where the request has none. */
  readonly fallback?: unknown
  /** Of its text, for the description. */
  readonly schema: JsonSchema & { readonly default?: unknown; readonly pattern?: string }
  readonly description: string
  /** @throws TroupeError `invalid_params`; what it returns is validated with the other params */
  readonly read: (text: string) => unknown
}

const POSITION: Input['schema'] = { type: 'string', pattern: '^[0-9]+-[0-9]+$' }

/** How long `wait` waits where the request does not say. */
const WAIT_MS = 30_000

export const idempotencyKey: Input = {
  in: 'header',
  name: 'Idempotency-Key',
  param: 'key',
  schema: paramSchema(methods.updateSession.params, 'key'),
  description: 'The same key with the same body is applied once, however often it is sent.',
  // The draft of this header writes it as a quoted string; most clients do not.
  read: (text) => /^"(.*)"$/.exec(text)?.[1] ?? text,
}

export const ifMatch: Input = {
  in: 'header',
  name: 'If-Match',
  param: 'ifVersion',
  schema: { type: 'string' },
  description: 'An ETag of the session: only if it is still there; else 412.',
  read: parseIfMatch,
}

export const ifNoneMatch: Input = {
  in: 'header',
  name: 'If-None-Match',
  param: null,
  schema: { type: 'string' },
  description: 'The ETag that the client holds: if it is current the answer is 304, without a body.',
  read: (text) => text,
}

export const until: Input = {
  in: 'query',
  name: 'until',
  param: 'until',
  required: true,
  schema: { type: 'string' },
  description:
    'What is waited for: `done`, `tag:<tag>`, `value:<state>`, or JSON: `{"value":{"payment":"paid"}}` for nested and parallel states.',
  read: readUntil,
}

export const timeoutMs: Input = {
  in: 'query',
  name: 'timeoutMs',
  param: 'timeoutMs',
  fallback: WAIT_MS,
  schema: { ...paramSchema(methods.waitFor.params, 'timeoutMs'), default: WAIT_MS },
  description: 'After this many milliseconds the answer is 504.',
  read: (text) => (/^[0-9]{1,9}$/.test(text) ? Number(text) : text),
}

export const since: Input = {
  in: 'query',
  name: 'since',
  param: 'since',
  schema: POSITION,
  description:
    'The position that the client holds, `<epoch>-<version>`: it is not sent again, but each update since then, with its emitted events, where the history of its definition holds them all; else a `gap` and the newest view.',
  read: (text) => parsePosition(text, 'since'),
}

export const lastEventId: Input = {
  in: 'header',
  name: 'Last-Event-ID',
  param: 'since',
  schema: POSITION,
  description: 'As `since`, and wins over it: browsers send it when they connect again.',
  read: (text) => parsePosition(text, 'Last-Event-ID'),
}

const listParams = jsonSchemaOf(listSessions.params).properties ?? {}

function listInput(name: string, read: Input['read'] = (text) => text): Input {
  const { description = '', ...schema } = (listParams[name] ?? {}) as JsonSchema & { description?: string }
  return { in: 'query', name, param: name, schema, description, read }
}

const wholeNumber: Input['read'] = (text) => (/^[0-9]{1,16}$/.test(text) ? Number(text) : text)

/** All params of `listSessions`. */
export const listInputs: readonly Input[] = [
  ...['machine', 'state', 'tag', 'status'].map((name) => listInput(name)),
  {
    ...listInput('since', (text) => {
      const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : NaN
      return Number.isNaN(time) ? wholeNumber(text) : time
    }),
    schema: { type: 'string' },
    description:
      'Only with a transition since then: ms since 1970, or a time such as `2026-01-31T12:00:00Z`.',
  },
  listInput('cursor'),
  listInput('limit', wholeNumber),
]

function readUntil(text: string): unknown {
  if (text === 'done') return { done: true }
  const [, name, value] = /^(tag|value):(.+)$/s.exec(text) ?? []
  if (name !== undefined) return { [name]: value }
  if (text.startsWith('{')) return parseValue(text)
  throw new TroupeError(
    'invalid_params',
    'until must be done, tag:<tag>, value:<state>, or JSON such as {"value":{"payment":"paid"}}',
  )
}

function paramSchema(params: Parameters<typeof jsonSchemaOf>[0], name: string): JsonSchema {
  return jsonSchemaOf(params).properties?.[name] ?? {}
}
