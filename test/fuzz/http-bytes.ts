/** Bytes that are no good HTTP request, and the statuses that the server owes to them. */
import type { Dice } from './dice.ts'
import { BAD_UTF8 } from './frames.ts'
import { OWN } from './json-inputs.ts'

export interface HttpInput {
  readonly kind: string
  /** Written one after the other. */
  readonly chunks: readonly Buffer[]
  /**
   * Statuses of which one must come first; `sound`: whatever comes, but something; `any`: also nothing. Nothing that comes may be a
   * fault of the server, or no HTTP.
   */
  readonly owed: readonly number[] | 'sound' | 'any'
  /** After its first answer the server must hang up: what follows is of nobody knows whom. */
  readonly isLast?: boolean
}

const JSON_TYPE = 'Content-Type: application/json'
const EVENT = '{"type":"MERGE","state":{"a":1}}'
/** A session that nobody makes. */
const NONE = `/sessions/${OWN}none`

/** @param headers lines; `Host` is there unless they name it */
export function head(line: string, headers: readonly string[] = []): string {
  const host = headers.some((header) => /^host/i.test(header)) ? [] : ['Host: localhost']
  return `${[line, ...host, ...headers].join('\r\n')}\r\n\r\n`
}

export function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

function post(headers: readonly string[], body: string | Buffer): Buffer {
  return Buffer.concat([
    latin1(head(`POST ${NONE}/events HTTP/1.1`, [JSON_TYPE, ...headers])),
    Buffer.isBuffer(body) ? body : latin1(body),
  ])
}

function sized(body: string | Buffer, headers: readonly string[] = []): Buffer {
  return post([`Content-Length: ${body.length}`, ...headers], body)
}

const chunked = (body: string): Buffer => post(['Transfer-Encoding: chunked'], body)
/** What a request that is smuggled past a proxy would be. */
const SMUGGLED = head(`DELETE /sessions/${OWN}smuggled HTTP/1.1`)

const makers: Readonly<Record<string, (dice: Dice) => Omit<HttpInput, 'kind'>>> = {
  'bad request lines': (dice) => ({
    chunks: [
      latin1(
        head(
          dice.pick([
            'GET',
            'GET ',
            ' GET / HTTP/1.1',
            'GET  HTTP/1.1',
            'get / HTTP/1.1',
            'BREW /sessions HTTP/1.1',
            'GET / HTTP/1.1 more',
            'GET / HTTP/9.9',
            'GET / HTCPCP/1.0',
            'GET /\u0000 HTTP/1.1',
            'GET /a b HTTP/1.1',
            'G\u0000T / HTTP/1.1',
            'PRI * HTTP/2.0',
            '\u0016\u0003\u0001\u0002\u0000\u0001',
          ]),
        ),
      ),
    ],
    owed: [400, 505],
  }),
  'other methods': (dice) => ({
    chunks: [
      latin1(head(`${dice.pick(['PUT', 'PATCH', 'TRACE', 'PROPFIND', 'LINK', 'QUERY'])} ${NONE} HTTP/1.1`)),
    ],
    owed: [400, 405],
  }),
  tunnels: (dice) => ({
    chunks: [latin1(head(`CONNECT ${dice.pick(['localhost:6379', '/', NONE])} HTTP/1.1`)), dice.bytes(30)],
    owed: 'any',
  }),
  'other targets': (dice) => ({
    chunks: [
      latin1(
        head(
          `GET ${dice.pick(['*', 'http://localhost/sessions/x', '//sessions/x', '/sessions//x', '/%2e%2e/x'])} HTTP/1.1`,
        ),
      ),
    ],
    owed: [400, 404],
  }),
  'other upgrades': (dice) => ({
    chunks: [
      latin1(
        head(`GET ${dice.pick([NONE, '/', '/ws'])} HTTP/1.1`, [
          'Connection: Upgrade, HTTP2-Settings',
          `Upgrade: ${dice.pick(['h2c', 'TLS/1.3', 'websocket2', ','])}`,
          'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
        ]),
      ),
    ],
    owed: [400, 404, 426],
  }),
  'floods of headers': (dice) => ({
    chunks: [
      latin1(
        head(
          `GET ${NONE} HTTP/1.1`,
          Array.from({ length: 50 + dice.below(3000) }, (_, n) => `X-${n}: y`),
        ),
      ),
    ],
    owed: [404, 431],
  }),
  'huge headers and targets': (dice) => {
    const huge = 'x'.repeat(17_000 + dice.below(80_000))
    return {
      chunks: [
        latin1(
          dice.chance(0.5)
            ? head(`GET ${NONE} HTTP/1.1`, [`X-Huge: ${huge}`])
            : head(`GET /sessions/${huge} HTTP/1.1`),
        ),
      ],
      owed: [414, 431],
    }
  },
  'headers that are none': (dice) => ({
    chunks: [
      latin1(
        head(`GET ${NONE} HTTP/1.1`, [
          dice.pick([
            'no colon',
            ': no name',
            'a b: c',
            'a\u0000: b',
            'a: \u0000',
            'a\r: b',
            'X: a\rb',
            '\u00e4: b',
            '(x): y',
          ]),
        ]),
      ),
    ],
    owed: [400],
  }),
  'wrong hosts': (dice) => ({
    chunks: [
      latin1(
        head(`GET ${NONE} HTTP/1.1`, [
          `Host: ${dice.pick(['evil.invalid', '[', '127.0.0.1.evil.invalid', 'localhost@evil.invalid', '\u00e4'])}`,
        ]),
      ),
    ],
    owed: [400, 403],
  }),
  'pages of other sites': (dice) => ({
    chunks: [
      latin1(
        head(`DELETE ${NONE} HTTP/1.1`, [
          `Origin: ${dice.pick(['https://evil.invalid', 'null', 'file://', '*'])}`,
        ]),
      ),
    ],
    owed: [403],
  }),
  'two lengths': (dice) => ({
    chunks: [
      post(
        dice.pick([
          ['Content-Length: 4', 'Transfer-Encoding: chunked'],
          ['Transfer-Encoding: chunked', 'Content-Length: 4'],
          ['Content-Length: 4', 'Content-Length: 60'],
          ['Content-Length: 4, 4'],
          ['Content-Length: +4'],
          ['Content-Length: -1'],
          ['Content-Length: 0x4'],
          ['Content-Length: 4 4'],
          ['Content-Length: 99999999999999999999999'],
          ['Content-Length : 4'],
          ['Transfer-Encoding: xchunked', 'Content-Length: 4'],
          ['Transfer-Encoding : chunked'],
          ['Transfer-Encoding: chunked, identity'],
          ['Transfer-Encoding: identity, chunked, x'],
          ['Transfer-Encoding: \u000bchunked'],
        ]),
        `4\r\n${SMUGGLED}`,
      ),
    ],
    owed: [400],
    isLast: true,
  }),
  'bad chunks': (dice) => ({
    chunks: [
      chunked(
        dice.pick([
          `zz\r\n${EVENT}`,
          `-1\r\n${EVENT}`,
          `0x20\r\n${EVENT}`,
          `fffffffffffffffffff\r\n${EVENT}`,
          `20 \u0000\r\n${EVENT}`,
          `2\r\n${EVENT}\r\n0\r\n\r\n`,
          `;\r\n\r\n`,
          `20;${'x'.repeat(20_000)}\r\n`,
          `0\r\nbad trailer\r\n\r\n`,
        ]) + SMUGGLED,
      ),
    ],
    owed: 'any',
    isLast: true,
  }),
  'bodies that are too large': (dice) => ({
    chunks: dice.chance(0.5)
      ? [post([`Content-Length: ${262_145 + dice.below(2 ** 30)}`], '{"type":"')]
      : [chunked(`${(300_000).toString(16)}\r\n${'x'.repeat(300_000)}\r\n0\r\n\r\n`)],
    owed: [413],
  }),
  'bodies cut short': (dice) => ({
    chunks: [post([`Content-Length: ${EVENT.length}`], EVENT.slice(0, dice.below(EVENT.length)))],
    owed: 'any',
  }),
  'slow bodies': (dice) => {
    const whole = sized(EVENT)
    const size = 1 + dice.below(30)
    return {
      chunks: Array.from({ length: Math.ceil(whole.length / size) }, (_, n) =>
        whole.subarray(n * size, (n + 1) * size),
      ),
      owed: [404],
    }
  },
  'bodies that are not UTF-8': (dice) => ({
    chunks: [sized(Buffer.concat([latin1('{"type":"'), dice.pick(BAD_UTF8), latin1('"}')]))],
    owed: [400],
  }),
  'bodies of another kind': (dice) => ({
    chunks: [
      dice.chance(0.5)
        ? sized(EVENT, [`Content-Encoding: ${dice.pick(['gzip', 'br', 'deflate, gzip', 'x'])}`])
        : latin1(
            `${head(`POST ${NONE}/events HTTP/1.1`, [
              `Content-Type: ${dice.pick(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/json; charset=utf-16', 'application/jsonp', '', 'json', 'application/json,text/plain'])}`,
              `Content-Length: ${EVENT.length}`,
            ])}${EVENT}`,
          ),
    ],
    owed: [415],
  }),
  expectations: (dice) => ({
    chunks: [sized(EVENT, [`Expect: ${dice.pick(['100-continue', '200-ok', 'x'.repeat(500)])}`])],
    owed: [100, 404, 417],
  }),
  'bodies where none belongs': (dice) => ({
    chunks: [latin1(`${head(`GET ${NONE} HTTP/1.1`, [`Content-Length: ${1 + dice.below(30)}`])}${EVENT}`)],
    owed: 'sound',
  }),
  'requests by the thousand': (dice) => ({
    chunks: [latin1(head(`GET ${NONE} HTTP/1.1`).repeat(20 + dice.below(1500)))],
    owed: [404, 429],
  }),
  'streams and waits that are left at once': (dice) => ({
    chunks: [
      latin1(
        head(`GET /sessions/${OWN}${dice.below(200)}/${dice.pick(['updates', 'wait?until=done'])} HTTP/1.1`),
      ),
    ],
    owed: 'any',
  }),
  'a byte changed': (dice) => {
    const bytes = sized(EVENT)
    bytes[dice.below(bytes.length)] = dice.below(256)
    return { chunks: [bytes], owed: 'any' }
  },
  'old versions': (dice) => ({
    chunks: [
      latin1(
        dice.pick([`GET ${NONE}\r\n\r\n`, `GET ${NONE} HTTP/1.0\r\n\r\n`, `GET ${NONE} HTTP/0.9\r\n\r\n`]),
      ),
    ],
    owed: [400, 404, 505],
  }),
  noise: (dice) => ({ chunks: [dice.bytes(1 + dice.below(400)), dice.bytes(dice.below(400))], owed: 'any' }),
}

export function httpBytes(dice: Dice): HttpInput {
  const kind = dice.pick(Object.keys(makers))
  const make = makers[kind] as (typeof makers)[string]
  return { kind: `HTTP: ${kind}`, ...make(dice) }
}
