/** Bytes instead of a handshake, and whether they may become a WebSocket. */
import type { Dice } from './dice.ts'

export interface Handshake {
  readonly kind: string
  readonly bytes: Buffer
  /** Status codes of which one must come; `any`: also silence until we hang up. */
  readonly owed: readonly number[] | 'any'
}

const GOOD: Readonly<Record<string, string>> = {
  Host: 'fuzz',
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version': '13',
}

export function handshake(headers: Readonly<Record<string, string>> = {}, line = 'GET /ws HTTP/1.1'): Buffer {
  const all = Object.entries({ ...GOOD, ...headers }).filter(([, value]) => value !== '')
  return Buffer.from(
    `${line}\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
    'latin1',
  )
}

const makers: Readonly<Record<string, (dice: Dice) => Omit<Handshake, 'kind'>>> = {
  'no key': () => ({ bytes: handshake({ 'Sec-WebSocket-Key': '' }), owed: [400] }),
  'wrong keys': (dice) => ({
    bytes: handshake({ 'Sec-WebSocket-Key': dice.pick(['x', 'AAAA', '='.repeat(24), 'ä'.repeat(24)]) }),
    owed: [400],
  }),
  'wrong versions': (dice) => ({
    bytes: handshake({ 'Sec-WebSocket-Version': dice.pick(['', '0', '7', '12', '14', '-1', 'x', '13, 8']) }),
    owed: [400, 426],
  }),
  'no upgrade': (dice) => ({
    bytes: handshake({ Upgrade: dice.pick(['', 'h2c', 'web socket']) }),
    owed: [426],
  }),
  'other methods': (dice) => ({
    bytes: handshake({}, `${dice.pick(['POST', 'PUT', 'DELETE', 'OPTIONS'])} /ws HTTP/1.1`),
    owed: [400, 404, 405, 426],
  }),
  'other paths': (dice) => ({
    bytes: handshake({}, `GET ${dice.pick(['/', '/wsx', '/ws/', '/%77s', '//ws', '/../ws', '*'])} HTTP/1.1`),
    owed: [400, 404],
  }),
  'pages of other sites': (dice) => ({
    bytes: handshake({
      Origin: dice.pick(['https://evil.invalid', 'null', 'file://', 'http://127.0.0.1.evil.invalid']),
    }),
    owed: [403],
  }),
  'wrong subprotocols': (dice) => ({
    bytes: handshake({ 'Sec-WebSocket-Protocol': dice.pick([',', 'a,,b', 'a, a', 'x y', '\u0080']) }),
    owed: [400, 101],
  }),
  'huge headers': (dice) => ({
    bytes: handshake({ 'X-Huge': 'x'.repeat(17_000 + dice.below(60_000)) }),
    owed: [431],
  }),
  'many headers': (dice) => ({
    bytes: handshake(
      Object.fromEntries(Array.from({ length: 1500 + dice.below(1500) }, (_, n) => [`X-${n}`, 'y'])),
    ),
    owed: [431, 101, 400],
  }),
  'headers that are none': (dice) => ({
    bytes: handshake({ [dice.pick(['a b', 'a\u0000', 'ä', ':'])]: 'x' }),
    owed: [400],
  }),
  'extensions nobody has': (dice) => ({
    bytes: handshake({
      'Sec-WebSocket-Extensions': dice.pick([
        'permessage-deflate; server_max_window_bits=99',
        'x;;;',
        'a="',
        'permessage-deflate, '.repeat(200) + 'x',
      ]),
    }),
    owed: 'any',
  }),
  'cut short': (dice) => ({ bytes: handshake().subarray(0, 1 + dice.below(140)), owed: 'any' }),
  noise: (dice) => ({ bytes: dice.bytes(1 + dice.below(600)), owed: 'any' }),
  'a byte changed': (dice) => {
    const bytes = handshake()
    bytes[dice.below(bytes.length)] = dice.below(256)
    return { bytes, owed: 'any' }
  },
  'two requests in one': (dice) => ({
    bytes: Buffer.concat([handshake(), handshake(), dice.bytes(20)]),
    owed: 'any',
  }),
}

export function badHandshake(dice: Dice): Handshake {
  const kind = dice.pick(Object.keys(makers))
  const make = makers[kind] as (typeof makers)[string]
  return { kind: `handshake: ${kind}`, ...make(dice) }
}
