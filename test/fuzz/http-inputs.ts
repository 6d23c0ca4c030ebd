/**
 * HTTP requests that look in order, and are not quite. Those that would be in order are so only for sessions of the fuzz
 * itself: what would change another, or make one, is not sent.
 */
import fc from 'fast-check'
import { head, latin1, type HttpInput } from './http-bytes.ts'
import { OWN, documentEvent, isHarmless, nasty, ownId } from './json-inputs.ts'

interface Request {
  readonly verb: string
  readonly path: string
  readonly headers: readonly string[]
  readonly body: string
}

function request(verb: string, path: string, body = '', headers: readonly string[] = []): Request {
  return { verb, path, headers, body }
}

/** Requests in order, for sessions of the fuzz. */
const valid: fc.Arbitrary<Request> = fc
  .tuple(ownId, fc.nat({ max: 60 }), documentEvent, nasty)
  .map(([id, n, event, any]) => {
    const all = [
      request('POST', '/sessions', `{"machine":"document","id":"${id}","input":${any},"ifExists":"return"}`),
      request('POST', '/sessions', `{"machine":"match","id":"${id}-m","ifExists":"return"}`, [
        `Idempotency-Key: k${n}`,
      ]),
      request('POST', `/sessions/${id}/events`, event),
      request('POST', `/sessions/${id}/events`, event, [`Idempotency-Key: "k${n}"`]),
      request('POST', `/sessions/${id}/events`, event, [`If-Match: "${n}-${n + 1}"`]),
      request('POST', `/sessions/${id}-m/events`, `{"type":"JOIN","player":"p${n}"}`),
      request('POST', `/sessions/${id}/messages`, any),
      request('GET', `/sessions/${id}`, '', [`If-None-Match: "${n}-${n}", *`]),
      request('HEAD', `/sessions/${id}`),
      request('DELETE', `/sessions/${id}`),
      request('GET', `/sessions/${id}/wait?until=done&timeoutMs=${1 + n}`),
      request('HEAD', `/sessions/${id}/updates?since=${n}-${n + 1}`),
      request('GET', '/openapi.json'),
      request('OPTIONS', `/sessions/${id}/events`, '', ['Origin: http://localhost']),
    ]
    return all[n % all.length] as Request
  })

const headerNames = [
  'If-Match',
  'If-None-Match',
  'Idempotency-Key',
  'Last-Event-ID',
  'Content-Type',
  'Content-Encoding',
  'Accept',
  'Authorization',
  'Origin',
  'X-Forwarded-For',
  'X-HTTP-Method-Override',
  'Range',
]
const headerValue = fc
  .oneof(
    fc.constantFrom(
      '',
      '"',
      '""',
      '*',
      'W/',
      'W/"1-1"',
      '"1-1", "2-2"',
      '1-1',
      '"0-0"',
      '"1-1e3"',
      '"-1--1"',
      'Bearer',
      'Bearer a.b.c',
    ),
    fc.constantFrom(
      `"${'9'.repeat(400)}-1"`,
      'k'.repeat(3000),
      '__proto__',
      '\u00e9',
      '%00',
      'a,b;c=d',
      '99999999999999999999-1',
    ),
    nasty.map((text) => text.slice(0, 200)),
    fc.string({ unit: 'binary-ascii', maxLength: 30 }),
  )
  // What ends a line would be bytes of another family.
  .map((value) => value.replace(/[\u0000-\u001f\u007f-\uffff]/g, '\u00e9'))

/** A request of an own session with headers that make no sense. */
const oddlyHeaded = fc
  .tuple(
    valid,
    fc.array(fc.tuple(fc.constantFrom(...headerNames), headerValue), { minLength: 1, maxLength: 4 }),
  )
  .map(([of, more]) => ({
    ...of,
    headers: [...of.headers, ...more.map(([name, value]) => `${name}: ${value}`)],
  }))

/** Bodies that make no sense. */
const oddlyFilled = fc
  .tuple(
    fc.oneof(ownId, fc.constantFrom('canary-0')),
    fc.nat({ max: 3 }),
    fc.oneof(
      nasty,
      fc.nat({ max: 3000 }).map((depth) => `${'[{"a":'.repeat(depth)}1`),
      fc.constantFrom(
        '',
        '{',
        '{"type":',
        '\u00ef\u00bb\u00bf{}',
        '{"type":"MERGE","state":{"a":1},"state":{"b":"\\ud800"}}',
        '{"__proto__":{"type":"SET"}}',
      ),
    ),
  )
  .map(([id, n, body]) =>
    request(
      'POST',
      ['/sessions', `/sessions/${id}/events`, `/sessions/${OWN}1/messages`, `/sessions/${id}/events`][n] ??
        '',
      body,
    ),
  )

const querySample = [
  '?',
  '?since=',
  '?since=1-1&since=1-1',
  '?since=1-1e3',
  '?until=%ff',
  '?until={"value":{"__proto__":1}}',
  '?until={"tag":"\\ud800"}',
  `?until=${'{"value":'.repeat(100)}`,
  '?__proto__=1',
  '?constructor[prototype]=1',
  '?timeoutMs=-1&until=done',
  '?timeoutMs=1e9&until=done',
  '?until=tag:',
  '?until=tag:a%00b&timeoutMs=5',
  '?%',
  '?'.repeat(50),
]

/** Paths that try to be another one. What they lead to is only read, or sent an event that changes nothing. */
function pathTricks(targets: readonly string[]): fc.Arbitrary<Request> {
  const segment = fc
    .constantFrom(...targets)
    .chain((id) =>
      fc.constantFrom(
        ...[
          '..',
          '.',
          '%',
          '%00',
          '%2e%2e',
          '%2f',
          '%5c',
          '__proto__',
          'a%0d%0aX-Injected:%201',
          '%ff',
          '%c0%ae',
          ':',
          '*',
          '%25%30%30',
        ],
        ...[
          `${id}%2fevents`,
          `${id}%00`,
          `${id}%20`,
          `${id};a=b`,
          `..%2f${id}`,
          `%2e/${id}`,
          `${id}/..`,
          `${id}//`,
          `.%2f${id}`,
        ],
        ...[`%63${id.slice(1)}`, id.toUpperCase(), `${id}.json`, `${id}%23`, 'x'.repeat(300), `{${id}}`],
      ),
    )
  return fc
    .tuple(segment, fc.nat({ max: 6 }), fc.constantFrom('', ...querySample))
    .map(([of, n, query]) =>
      n < 5
        ? request(
            n === 0 ? 'HEAD' : 'GET',
            `/sessions/${of}${['', '', '/wait', '/events', '/messages'][n] ?? ''}${query}`,
          )
        : request('POST', `/sessions/${of}/events${query}`, '{"type":"NONE"}'),
    )
}

/** Requests that name a session of somebody else, and must leave it as it is. */
function aimedAt(targets: readonly string[]): fc.Arbitrary<Request> {
  return fc.tuple(fc.constantFrom(...targets), fc.nat({ max: 11 }), nasty).map(([id, n, any]) => {
    const events = `/sessions/${id}/events`
    const all = [
      request('POST', events, `{"type":"NONE","state":${any}}`),
      request('POST', events, `{"type":"xstate.done.actor.a","output":${any}}`),
      request('POST', events, '{"type":"*"}'),
      request('POST', events, `{"type":"MERGE","state":1,"more":${any}}`),
      request('POST', events, '{"type":"MERGE","state":1}', ['If-Match: "7-1"']),
      request('POST', events, '{"type":"MERGE","state":1}', ['If-Match: nonsense']),
      request('POST', events, '{"type":"SET","state":1}', ['Content-Type: text/plain']),
      request('POST', `${events}?ifVersion=1`, '{"type":"SET","state":1}'),
      request('POST', '/sessions', `{"machine":"document","id":"${id}","input":{"taken":1}}`),
      request('POST', '/sessions', `{"machine":"document","id":"${id}","ifExists":"return"}`),
      request('DELETE', `/sessions/${id}`, '', ['If-Match: "1-1"']),
      request('DELETE', `/sessions/${id}?force=1`),
    ]
    return all[n] as Request
  })
}

const withQuery = fc
  .tuple(ownId, fc.constantFrom('', '/wait', '/updates'), fc.constantFrom(...querySample))
  .map(([id, more, query]) => request(more === '/updates' ? 'HEAD' : 'GET', `/sessions/${id}${more}${query}`))

function textOf({ verb, path, headers, body }: Request): string {
  const isTyped = headers.some((header) => /^content-type:/i.test(header))
  const own =
    verb === 'POST'
      ? [...(isTyped ? [] : ['Content-Type: application/json']), `Content-Length: ${Buffer.byteLength(body)}`]
      : []
  return head(`${verb} ${path} HTTP/1.1`, ['Connection: close', ...own, ...headers])
}

const sound = (kind: string, of: fc.Arbitrary<Request>): fc.Arbitrary<HttpInput> =>
  of.map((each) => ({
    kind: `HTTP: ${kind}`,
    chunks: [
      latin1(textOf(isSafe(each) ? each : request('GET', '/sessions/none'))),
      Buffer.from(isSafe(each) ? each.body : ''),
    ],
    owed: 'sound',
  }))

/** A request with a piece cut out, doubled or replaced. */
const mutated: fc.Arbitrary<HttpInput> = fc
  .tuple(
    fc.oneof(valid, oddlyHeaded),
    fc.nat(),
    fc.nat({ max: 6 }),
    fc.oneof(fc.constant(''), nasty, fc.constantFrom('\r\n', '\n', '\u0000', ' ', ':', '%', '/', '?')),
  )
  .map(([of, at, cut, junk]) => {
    const text = `${textOf(of)}${of.body}`
    const from = at % text.length
    const changed = `${text.slice(0, from)}${junk}${text.slice(from + cut)}`
    const isHarmful =
      changed.startsWith('POST /sessions ') && !isSafe(request('POST', '/sessions', bodyIn(changed)))
    return {
      kind: 'HTTP: mutated',
      chunks: [Buffer.from(isHarmful ? head('GET / HTTP/1.1') : changed)],
      owed: 'any',
    }
  })

function bodyIn(text: string): string {
  const at = text.search(/\r?\n\r?\n/)
  return at < 0 ? '' : text.slice(at).trimStart()
}

/** Whether nothing in it, read as the server reads it, would make or change a session that is not the fuzz's own. */
function isSafe({ verb, path, body }: Request): boolean {
  if (verb !== 'POST') return true
  if (/^\/sessions(?:$|\?)/.test(path)) return isHarmless(`{"method":"createSession","params":${body}}`)
  const [, id] = /^\/sessions\/(canary-\d+)\/events/.exec(path) ?? []
  return id === undefined || isHarmless(`{"method":"updateSession","params":{"id":"${id}","event":${body}}}`)
}

/** @param targets sessions of others */
export function httpInputs(targets: readonly string[], seed: number, count: number): HttpInput[] {
  const any = fc.oneof(
    { weight: 4, arbitrary: sound('in order', valid) },
    { weight: 3, arbitrary: sound('odd headers', oddlyHeaded) },
    { weight: 3, arbitrary: sound('odd bodies', oddlyFilled) },
    { weight: 2, arbitrary: sound('odd queries', withQuery) },
    { weight: 2, arbitrary: sound('path tricks', pathTricks(targets)) },
    { weight: 2, arbitrary: aimed(targets) },
    { weight: 4, arbitrary: mutated },
  )
  return fc.sample(any, { numRuns: count, seed })
}

/** These are harmless by how they are made. */
function aimed(targets: readonly string[]): fc.Arbitrary<HttpInput> {
  return aimedAt(targets).map((of) => ({
    kind: 'HTTP: aimed at others',
    chunks: [latin1(textOf(of)), Buffer.from(of.body)],
    owed: 'sound',
  }))
}
