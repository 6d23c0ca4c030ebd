/**
 * Texts that look like requests, and are not quite. Requests that would be in order are so only for sessions of the
 * fuzz itself: what would change another, or make one, is not sent.
 */
import fc from 'fast-check'
import { methods } from '../../transport/protocol/messages.ts'

/** What the ids of sessions that the fuzz may make and change begin with. */
export const OWN = 'fuzz-'

/** Values that have broken parsers before, as JSON text: some say more than a value in memory could. */
const nastyTexts = [
  'null',
  'true',
  '""',
  '[]',
  '{}',
  '-0',
  '1e308',
  '1e999',
  '-1e999',
  '1e-320',
  '9007199254740993',
  '0.1e1',
  '123456789012345678901234567890',
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\u0000"',
  '"\\u202e"',
  '"__proto__"',
  '"constructor"',
  '{"__proto__":{"polluted":1}}',
  '{"constructor":{"prototype":{"polluted":1}}}',
  '{"\\u005f_proto__":[]}',
  '{"a":1,"a":2,"a":3}',
  '{"toString":1,"valueOf":2,"hasOwnProperty":3,"toJSON":4}',
  '{"length":1e9}',
  '{"then":1}',
  '[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]',
  '"\\\\"',
  '" "',
  '{"type":"*"}',
  '{"type":"xstate.stop"}',
  '{"type":"SET","state":{"__proto__":1}}',
] as const

export const nasty = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...nastyTexts) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }).map((text) => JSON.stringify(text)) },
  {
    weight: 1,
    arbitrary: fc.nat({ max: 90 }).map((depth) => `${'{"a":['.repeat(depth)}1${']}'.repeat(depth)}`),
  },
)
const members = [
  'id',
  'event',
  'type',
  'key',
  'machine',
  'message',
  'since',
  'ifVersion',
  'epoch',
  'version',
  'until',
  'timeoutMs',
  'input',
  'subscribe',
  '__proto__',
  'constructor',
  'toJSON',
]
const object = fc
  .array(fc.tuple(fc.oneof(fc.constantFrom(...members), fc.string()), nasty), { maxLength: 6 })
  .map((entries) => `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`)
const method = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...Object.keys(methods)) },
  { weight: 1, arbitrary: fc.constantFrom('constructor', '__proto__', 'toString', 'rpc.', '', 'getsession') },
  { weight: 1, arbitrary: fc.string() },
)
const requestId = fc.oneof({ weight: 2, arbitrary: fc.nat().map(String) }, { weight: 1, arbitrary: nasty })

/** A few, so that they are met again and again; the caches of the workers are full of them before memory is measured. */
export const ownId = fc.nat({ max: 199 }).map((n) => `${OWN}${n}`)
export const documentEvent = fc.oneof(
  nasty.map((state) => `{"type":"MERGE","state":${state}}`),
  nasty.map((state) => `{"type":"SET","state":${state}}`),
  fc.constant('{"type":"NONE"}'),
)

/** Requests in order, for sessions of the fuzz. */
const valid = fc
  .tuple(ownId, fc.nat({ max: 60 }), documentEvent, nasty, requestId)
  .map(([id, n, event, any, rpc]) => {
    const params: readonly (readonly [string, string])[] = [
      ['createSession', `{"machine":"document","id":"${id}","input":${any},"ifExists":"return"}`],
      [
        'createSession',
        `{"machine":"${['checkout', 'match', 'auction', 'approval', 'none'][n % 5]}","id":"${id}-m","ifExists":"return"}`,
      ],
      ['updateSession', `{"id":"${id}","event":${event}}`],
      ['updateSession', `{"id":"${id}","event":${event},"key":"k${n}"}`],
      ['updateSession', `{"id":"${id}","event":${event},"ifVersion":${n}}`],
      ['updateSession', `{"id":"${id}-m","event":{"type":"JOIN","player":"p${n}"}}`],
      ['getSession', `{"id":"${id}"}`],
      ['deleteSession', `{"id":"${id}"}`],
      ['broadcastToSession', `{"id":"${id}","message":${any}}`],
      ['subscribe', `{"id":"${id}"}`],
      ['subscribe', `{"id":"${id}","since":{"epoch":"${n}","version":${n}}}`],
      ['unsubscribe', `{"id":"${id}"}`],
      ['waitFor', `{"id":"${id}","until":{"done":true},"timeoutMs":${1 + n}}`],
      ['rpc.discover', '{}'],
    ]
    const [name, text] = params[n % params.length] as readonly [string, string]
    return `{"jsonrpc":"2.0","id":${rpc},"method":"${name}","params":${text}}`
  })

const shaped = fc
  .tuple(requestId, method, fc.oneof(object, nasty))
  .map(
    ([id, name, params]) =>
      `{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(name)},"params":${params}}`,
  )

/** A request with a piece cut out, doubled or replaced. */
const mutated = fc
  .tuple(
    valid,
    fc.nat(),
    fc.nat({ max: 6 }),
    fc.oneof(fc.constant(''), nasty, fc.string({ unit: 'binary', maxLength: 3 })),
  )
  .map(([text, at, cut, junk]) => {
    const from = at % text.length
    return `${text.slice(0, from)}${junk}${text.slice(from + cut)}`
  })

const single = fc.oneof(
  { weight: 3, arbitrary: valid },
  { weight: 3, arbitrary: mutated },
  { weight: 2, arbitrary: shaped },
)
const batch = fc
  .array(fc.oneof({ weight: 4, arbitrary: single }, { weight: 1, arbitrary: nasty }), { maxLength: 12 })
  .map((entries) => `[${entries.join(',')}]`)

/**
 * Requests that name a session that is not the fuzz's own, and must leave it as it is: wrong events, reserved ones,
 * versions that it never had, a second creation, and what may be done by everybody.
 */
function aimedAt(targets: readonly string[]): fc.Arbitrary<string> {
  return fc.tuple(fc.constantFrom(...targets), fc.nat({ max: 11 }), nasty).map(([id, n, any]) => {
    const attempts = [
      ['updateSession', `{"id":"${id}","event":{"type":"NONE","state":${any}}}`],
      ['updateSession', `{"id":"${id}","event":{"type":"xstate.done.actor.a","output":${any}}}`],
      ['updateSession', `{"id":"${id}","event":{"type":"*"}}`],
      ['updateSession', `{"id":"${id}","event":{"type":"MERGE","state":1,"more":${any}}}`],
      [
        'updateSession',
        `{"id":"${id}","event":{"type":"MERGE","state":1},"ifVersion":{"epoch":"7","version":1}}`,
      ],
      ['updateSession', `{"id":"${id}","event":{"type":"MERGE","state":"\\u0000"}}`],
      ['createSession', `{"machine":"document","id":"${id}","input":{"taken":1}}`],
      ['createSession', `{"machine":"document","id":"${id}","ifExists":"return"}`],
      ['deleteSession', `{"id":"${id}","force":true}`],
      ['deleteSession', `["${id}"]`],
      ['getSession', `{"id":"${id}"}`],
      ['subscribe', `{"id":"${id}","since":{"epoch":"1","version":1}}`],
    ] as const
    const [name, params] = attempts[n] as (typeof attempts)[number]
    return `{"jsonrpc":"2.0","id":7,"method":"${name}","params":${params}}`
  })
}

/** @param targets sessions of others */
export function jsonInputs(targets: readonly string[], seed: number, count: number): string[] {
  const any = fc.oneof(
    { weight: 6, arbitrary: single },
    { weight: 2, arbitrary: batch },
    { weight: 1, arbitrary: aimedAt(targets) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
    { weight: 1, arbitrary: fc.nat({ max: 3000 }).map((depth) => `${'[{"a":'.repeat(depth)}1`) },
  )
  return fc
    .sample(any, { numRuns: count, seed })
    .map((text) => (isHarmless(text) ? text : '{"jsonrpc":"2.0"}'))
}

/** Whether nothing in it, read as the server reads it, would make or change a session that is not the fuzz's own. */
export function isHarmless(text: string): boolean {
  let frame: unknown
  try {
    frame = JSON.parse(text)
  } catch {
    return true
  }
  return (Array.isArray(frame) ? frame : [frame]).every((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return true
    const { method, params } = entry as { method?: unknown; params?: unknown }
    if (method !== 'createSession' && method !== 'updateSession' && method !== 'deleteSession') return true
    const parsed = methods[method].params.safeParse(params ?? {})
    if (!parsed.success || parsed.data.id?.startsWith(OWN) === true) return true
    if (method === 'deleteSession' || parsed.data.id === undefined) return false
    // Only what cannot be applied to a document, or asks for a life that it never had.
    const given = params as {
      event?: { type?: unknown; more?: unknown; state?: unknown }
      ifVersion?: unknown
    }
    if (method === 'createSession') return KNOWN.test(parsed.data.id)
    const { event, ifVersion } = given
    const isApplicable =
      (event?.type === 'MERGE' || event?.type === 'SET') && event.state !== '\u0000' && !('more' in event)
    return !isApplicable || typeof ifVersion === 'object'
  })
}

/** Ids of canaries: a second creation changes nothing. */
const KNOWN = /^canary-\d+$/
