/**
 * Every message of the wire, once. From these schemas come the types of the handlers, the validation of what clients
 * send, docs/protocol.md and the answer of `rpc.discover`.
 *
 * Results and the params of notifications are never validated at run time (they are composed around text that the
 * kernel encoded); the tests hold them against these schemas.
 */
import { z } from 'zod'
import { sessionIdPattern, type SessionId } from '../../actors/session.ts'
import type { ErrorCode } from '../../actors/errors.ts'

/** Raised with every change of a message; a test compares a hash of all schemas. */
export const PROTOCOL_VERSION = 4

/** The WebSocket subprotocol; a client may ask for it or for none. */
export const SUBPROTOCOL = 'troupe.v1'

/** How many levels of arrays and objects a frame may nest. */
export const MAX_DEPTH = 64

const sessionId = z
  .string()
  .regex(new RegExp(sessionIdPattern), {
    error: 'must be 1 to 128 characters of A-Z a-z 0-9 _ . : @ ~ - and begin with a letter or digit',
  })
  .describe('Id of the session.') as unknown as z.ZodType<SessionId, string>

const epoch = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,19})$/, { error: 'must be a decimal number as text' })
  .describe('Which life of the id this is: opaque text, ordered as a number.')

const version = z.int().min(1).describe('1, 2, 3 … within an epoch, one per transition.')

const position = z.strictObject({ epoch, version }).describe('Where a session stands.')

const commandKey = z
  .string()
  .min(1)
  .max(256)
  .describe('Idempotency key: the same key with the same content is applied once, however often it is sent.')

const event = z
  .looseObject({ type: z.string().min(1).max(256).describe('Type of the event.') })
  .describe('What is sent to the machine; its further members are up to the definition.')

export const json = z.unknown()

export const view = z
  .object({
    id: sessionId,
    machine: z.string().describe('Name of the definition.'),
    epoch,
    version,
    status: z
      .enum(['active', 'done', 'error'])
      .describe('`done`: in a final state; it takes no more events.'),
    value: json.describe('The state: a name, or an object for nested and parallel ones.'),
    context: json.describe('The data, or what the view function of the definition made of it.'),
    tags: z.array(z.string()).describe('Tags of the current state.'),
    accepts: z
      .array(z.string())
      .describe('Types of events that the current state handles; guards are not asked.'),
    output: json.optional().describe('Only when done: what the machine gave back.'),
    updatedAt: z.int().describe('Time of the last transition, ms since 1970, on the clock of Redis.'),
  })
  .describe('A session as its clients see it.')

const eventTypes = z
  .array(z.string())
  .describe('Types of the events of the last commit, oldest first; empty if the view was read again.')

const member = z
  .strictObject({
    client: z.string().describe('One connection, as long as it lasts.'),
    principal: z.string().nullable().describe('Id of its principal; `null`: nobody in particular.'),
    info: json.optional().describe('What the definition says of it.'),
  })
  .describe('A connection that is subscribed to the session.')

const empty = z.strictObject({})

export interface MethodSchema {
  readonly summary: string
  readonly params: z.ZodType
  readonly result: z.ZodType
  /** Errors of this method, beside those that any request can meet. */
  readonly errors: readonly ErrorCode[]
}

export const methods = {
  createSession: {
    summary: 'Starts a session. Without `id` one is chosen (with `key`: always the same for the same key).',
    params: z.strictObject({
      machine: z.string().min(1).max(128).describe('Name of the definition.'),
      id: sessionId.optional(),
      input: json.optional().describe('Input of the machine.'),
      key: commandKey.optional(),
      ifExists: z
        .enum(['error', 'return'])
        .optional()
        .describe('If a session with this id exists: an error (default), or that session.'),
      subscribe: z.boolean().optional().describe('Subscribe this connection in the same go.'),
    }),
    result: view.extend({ created: z.boolean().describe('False: it existed already.') }),
    errors: ['unknown_machine', 'session_exists', 'event_invalid', 'key_reused'],
  },
  getSession: {
    summary: 'The session as it is now, or `null` if there is none.',
    params: z.strictObject({ id: sessionId }),
    result: view.nullable(),
    errors: [],
  },
  updateSession: {
    summary: 'Sends an event to the machine of the session.',
    params: z.strictObject({
      id: sessionId,
      event,
      key: commandKey.optional(),
      ifVersion: z
        .union([version, position])
        .optional()
        .describe('Only if the session is at this version (or position); else `version_conflict`.'),
    }),
    result: view
      .extend({
        outcome: z
          .enum(['committed', 'unchanged', 'duplicate'])
          .describe(
            '`unchanged`: the state handles no such event, or a guard said no; `duplicate`: the key was applied before.',
          ),
        applied: version.optional().describe('The version that this very event made; absent when unchanged.'),
      })
      .describe('The newest state known, at or after `applied`.'),
    errors: [
      'not_found',
      'version_conflict',
      'key_reused',
      'event_invalid',
      'event_reserved',
      'session_ended',
      'unknown_machine_version',
      'contention',
    ],
  },
  deleteSession: {
    summary: 'Ends the session. Its subscribers get `sessionEnded`.',
    params: z.strictObject({ id: sessionId }),
    result: z.strictObject({ deleted: z.boolean().describe('False: there was none.') }),
    errors: [],
  },
  broadcastToSession: {
    summary:
      'Sends a message to every subscriber of the session, the sender too if it is one. At most once; nothing is kept, ' +
      'and it is not asked whether the session exists.',
    params: z.strictObject({ id: sessionId, message: json.describe('Any JSON.') }),
    result: empty,
    errors: ['event_invalid'],
  },
  subscribe: {
    summary: 'From now on this connection gets the notifications of the session, until it has ended.',
    params: z.strictObject({
      id: sessionId,
      since: position.optional().describe('What the client holds already.'),
      delta: z
        .boolean()
        .optional()
        .describe(
          'Send `sessionUpdated` as patches of the view that this connection has, where that is smaller.',
        ),
      presence: z
        .boolean()
        .optional()
        .describe(
          'Tell who is subscribed, and send `presenceChanged` from then on. `invalid_params` if the definition has no presence.',
        ),
    }),
    result: z.strictObject({
      recovered: z
        .boolean()
        .describe('True: `since` is current and nothing was missed, or all that was missed is in `updates`.'),
      session: view.nullable().describe('`null` only when `since` is current.'),
      updates: z
        .array(
          view.extend({
            events: eventTypes,
            emitted: z
              .array(z.strictObject({ version, event: json }))
              .describe('What the machine emitted, oldest first.'),
          }),
        )
        .optional()
        .describe(
          'If the definition keeps a history that reaches back to `since`: each commit after it, oldest first; the last is as `session`.',
        ),
      presence: z
        .array(member)
        .optional()
        .describe('With `presence`: all connections that are subscribed now, on all processes.'),
      client: z.string().optional().describe('With `presence`: which of them this one is.'),
    }),
    errors: ['not_found'],
  },
  unsubscribe: {
    summary: 'Ends the subscription, if there is one.',
    params: z.strictObject({ id: sessionId }),
    result: empty,
    errors: [],
  },
  waitFor: {
    summary:
      'Answers when the session is done, has a tag, or is in a state; at once if it is already. Not in a batch. Requests ' +
      'behind it do not wait for it.',
    params: z.strictObject({
      id: sessionId,
      until: z
        .union(
          [
            z.strictObject({ done: z.literal(true) }),
            z.strictObject({ tag: z.string().min(1).max(128) }),
            z.strictObject({ value: z.union([z.string().min(1), z.record(z.string(), json)]) }),
          ],
          { error: 'must be {"done": true}, {"tag": "…"} or {"value": …}' },
        )
        .describe('`value`: a state by its key, or an object of states as far as they matter.'),
      timeoutMs: z.int().min(1).max(3_600_000).describe('After this: `timeout`.'),
    }),
    result: view,
    errors: ['not_found', 'session_ended', 'timeout'],
  },
  authenticate: {
    summary:
      'Says who the client is, by a token, or renews what it has said before: a token of another principal is refused. Until ' +
      'its reply is there all other methods but `rpc.discover` are `unauthenticated`.',
    params: z.strictObject({ token: z.string().min(1).describe('A JSON Web Token.') }),
    result: z.strictObject({
      principal: z
        .object({ id: z.string(), claims: z.record(z.string(), json).optional() })
        .describe('Who the client is, with what the token says of it.'),
      expiresAt: z
        .number()
        .nullable()
        .describe('When the connection is closed unless it is renewed, ms since 1970; `null`: never.'),
    }),
    errors: [],
  },
  'rpc.discover': {
    summary: 'This description as an OpenRPC document.',
    params: z.strictObject({}),
    result: z.looseObject({ openrpc: z.string() }).describe('OpenRPC 1.3.'),
    errors: [],
  },
} as const satisfies Record<string, MethodSchema>

export type MethodName = keyof typeof methods
export type Params<M extends MethodName> = z.infer<(typeof methods)[M]['params']>

interface NotificationSchema {
  readonly summary: string
  readonly params: z.ZodType
}

export const notifications = {
  sessionUpdated: {
    summary:
      'The session made transitions that this connection did not cause (those it caused are in its replies). Versions ' +
      'may be skipped, none comes twice or goes back.',
    params: z.union([
      view.extend({ events: eventTypes }),
      z
        .strictObject({
          id: sessionId,
          epoch,
          baseVersion: version.describe(
            'The version that the patch is of: the last that this connection has got.',
          ),
          version,
          patch: z
            .array(z.looseObject({ op: z.string(), path: z.string() }))
            .describe('JSON Patch (RFC 6902) that makes the new view of the one at `baseVersion`.'),
          events: eventTypes,
        })
        .describe('Or, after `subscribe` with `delta`, what has changed:'),
    ]),
  },
  sessionMessage: {
    summary: 'Somebody called `broadcastToSession`.',
    params: z.strictObject({ id: sessionId, message: json }),
  },
  sessionEmitted: {
    summary: 'The machine emitted an event in the transition to `version`.',
    params: z.strictObject({ id: sessionId, epoch, version, event: json }),
  },
  sessionEnded: {
    summary: 'The subscription is over: the session is no more, or this client may no longer see it.',
    params: z.strictObject({
      id: sessionId,
      epoch,
      version,
      reason: z
        .enum(['deleted', 'expired', 'lost', 'forbidden'])
        .describe(
          '`lost`: it is gone from Redis and nobody told why; `forbidden`: it goes on, but the client may no longer see it.',
        ),
    }),
  },
  presenceChanged: {
    summary:
      'After `subscribe` with `presence`: connections have joined or left since the list in its reply and those that were told. ' +
      'Those of a process that died leave within 15 s.',
    params: z.strictObject({ id: sessionId, joined: z.array(member), left: z.array(member) }),
  },
  gap: {
    summary:
      'Messages or emitted events did not reach this connection, because it was slow or the feed was interrupted. ' +
      'Views are not concerned: a newer one is sent.',
    params: z.strictObject({
      id: sessionId,
      dropped: z.int().min(0).describe('How many were dropped; 0: not known, perhaps none.'),
      presence: z
        .literal(true)
        .optional()
        .describe(
          'Changes of the members were dropped, too: subscribe again, with `presence`, to get the list.',
        ),
    }),
  },
  goAway: {
    summary:
      'This process is about to leave. Connect again after `afterMs` plus a random part of `jitterMs`; requests ' +
      'under way are still answered here.',
    params: z.strictObject({ afterMs: z.int().min(0), jitterMs: z.int().min(0) }),
  },
} as const satisfies Record<string, NotificationSchema>

export type NotificationName = keyof typeof notifications

/** Errors that any request can meet. */
export const commonErrors: readonly ErrorCode[] = [
  'parse_error',
  'invalid_request',
  'method_not_found',
  'invalid_params',
  'internal',
  'unauthenticated',
  'forbidden',
  'rate_limited',
  'too_large',
  'unavailable',
  'draining',
  'timeout',
]
