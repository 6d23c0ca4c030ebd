/** Ways to break the protocol, each with a case of the conformance suite that must notice. */
import { parse, rewriting, swapping } from './faulty-proxy.ts'
import type { Fault, Json } from './faulty-proxy.ts'

type ToServer = NonNullable<Fault['toServer']>
type ToClient = NonNullable<Fault['toClient']>

interface KnownFault extends Fault {
  readonly does: string
  /** Name of the case. */
  readonly breaks: string
}

const member = (message: Json, name: string): Json => (message[name] ?? {}) as Json

/** Rewrites the params of requests for one method. */
const params = (method: string, change: (params: Json) => Json): ToServer =>
  rewriting((message) =>
    message['method'] === method ? { ...message, params: change(member(message, 'params')) } : message,
  )

const without =
  (name: string) =>
  (from: Json): Json =>
    Object.fromEntries(Object.entries(from).filter(([key]) => key !== name))

const results = (change: (result: Json) => Json): ToClient =>
  rewriting((message) =>
    'result' in message ? { ...message, result: change(member(message, 'result')) } : message,
  )

const errors = (change: (error: Json) => Json): ToClient =>
  rewriting((message) =>
    'error' in message ? { ...message, error: change(member(message, 'error')) } : message,
  )

const loses = (method: string): ToClient =>
  rewriting((message) => (message['method'] === method ? null : message))

export const protocolFaults: readonly KnownFault[] = [
  { does: 'turns round each two requests', breaks: 'order-updates', toServer: swapping(() => true) },
  {
    does: 'turns batches round',
    breaks: 'batch-order',
    toServer: (send) => (frame) => {
      const parsed = parse(frame)
      send(Array.isArray(parsed) ? JSON.stringify(parsed.reverse()) : frame)
    },
  },
  {
    does: 'answers single requests with arrays',
    breaks: 'batch-empty',
    toClient: (send) => (frame) => send(frame.startsWith('[') ? frame : `[${frame}]`),
  },
  {
    does: 'gives numbers back as text',
    breaks: 'id-kept',
    toClient: rewriting((message) => ('id' in message ? { ...message, id: String(message['id']) } : message)),
  },
  {
    does: 'answers what has no id',
    breaks: 'no-id-no-answer',
    toServer: rewriting((message) => ('id' in message ? message : { ...message, id: 'own' })),
  },
  { does: 'forgets keys', breaks: 'key-duplicate', toServer: params('updateSession', without('key')) },
  {
    does: 'forgets ifVersion',
    breaks: 'if-version-race',
    toServer: params('updateSession', without('ifVersion')),
  },
  {
    does: 'passes over unknown params',
    breaks: 'params-unknown',
    toServer: params('updateSession', without('ifversion')),
  },
  {
    does: 'counts versions from 0',
    breaks: 'update',
    toClient: results((result) =>
      'applied' in result ? { ...result, applied: Number(result['applied']) - 1 } : result,
    ),
  },
  {
    does: 'says committed for what changed nothing',
    breaks: 'update-unchanged',
    toClient: results((result) => ('outcome' in result ? { ...result, outcome: 'committed' } : result)),
  },
  {
    does: 'adds members to results',
    breaks: 'delete',
    toClient: results((result) => ('deleted' in result ? { ...result, at: 1 } : result)),
  },
  {
    does: 'calls each error retryable',
    breaks: 'update-not-found',
    toClient: errors((error) => ({ ...error, data: { ...member(error, 'data'), retryable: true } })),
  },
  {
    does: 'has a word of its own for an error',
    breaks: 'create-exists',
    toClient: errors((error) => ({ ...error, data: { ...member(error, 'data'), code: 'exists' } })),
  },
  {
    does: 'hides the path of what is wrong',
    breaks: 'params-named',
    toClient: errors((error) => ({ ...error, message: 'no' })),
  },
  {
    does: 'tells each update twice',
    breaks: 'converges',
    toClient: (send) => (frame) => {
      send(frame)
      if (frame.includes('"sessionUpdated"')) send(frame)
    },
  },
  {
    does: 'tells updates in another order',
    breaks: 'converges',
    toClient: swapping((frame) => frame.includes('"sessionUpdated"')),
  },
  {
    does: 'tells the sender as well',
    breaks: 'reply-instead-of-echo',
    toClient: (send) => (frame) => {
      send(frame)
      const { result } = (parse(frame) ?? {}) as { result?: Json }
      if (result?.['outcome'] === 'committed')
        send(
          JSON.stringify({
            jsonrpc: '2.0',
            method: 'sessionUpdated',
            params: { ...result, events: ['MERGE'] },
          }),
        )
    },
  },
  { does: 'loses emitted events', breaks: 'emitted', toClient: loses('sessionEmitted') },
  {
    does: 'tells the view before what was emitted',
    breaks: 'emitted',
    toClient: swapping((frame) => frame.includes('"version":4')),
  },
  { does: 'loses the end', breaks: 'ended', toClient: loses('sessionEnded') },
  { does: 'loses messages', breaks: 'broadcast', toClient: loses('sessionMessage') },
  { does: 'loses changes of members', breaks: 'presence-joined', toClient: loses('presenceChanged') },
  {
    does: 'lists nobody but oneself',
    breaks: 'presence-joined',
    toClient: results((result) =>
      'presence' in result
        ? {
            ...result,
            presence: (result['presence'] as Json[]).filter(({ client }) => client === result['client']),
          }
        : result,
    ),
  },
  {
    does: 'tells who joins and not who leaves',
    breaks: 'presence-left',
    toClient: rewriting((message) =>
      message['method'] === 'presenceChanged'
        ? { ...message, params: { ...member(message, 'params'), left: [] } }
        : message,
    ),
  },
  {
    does: 'subscribes to what has no presence',
    breaks: 'presence-refused',
    toServer: params('subscribe', without('presence')),
  },
  {
    does: 'calls every subscriber recovered',
    breaks: 'since-missed',
    toClient: results((result) => ('recovered' in result ? { recovered: true, session: null } : result)),
  },
  {
    does: 'does not unsubscribe',
    breaks: 'unsubscribe',
    toServer: (send, reply) => (frame) => {
      const message = (parse(frame) ?? {}) as Json
      if (message['method'] === 'unsubscribe')
        reply(JSON.stringify({ jsonrpc: '2.0', id: message['id'], result: {} }))
      else send(frame)
    },
  },
  {
    does: 'does not wait',
    breaks: 'wait-value-and-done',
    toServer: rewriting((message) =>
      message['method'] === 'waitFor'
        ? { ...message, method: 'getSession', params: { id: member(message, 'params')['id'] } }
        : message,
    ),
  },
  { does: 'takes binary frames', breaks: 'binary-frame', takesBinary: true },
  {
    does: 'leaves methods out of its description',
    breaks: 'discover',
    toClient: results((result) => ('methods' in result ? { ...result, methods: [] } : result)),
  },
]
