/** Bytes behind a good handshake that no WebSocket client should send, and what the server owes to them. */
import type { Dice } from './dice.ts'

export interface RawInput {
  readonly kind: string
  /** Written one after the other. */
  readonly chunks: readonly Buffer[]
  /**
   * Close codes of which one must come; `any`: whatever happens is right, as long as nothing breaks; `answer`: it is a
   * request in an unusual form, and answered.
   */
  readonly owed: readonly number[] | 'any' | 'answer'
}

interface Head {
  readonly fin?: boolean
  readonly rsv?: number
  readonly opcode?: number
  readonly masked?: boolean
  /** How the length is written: as short as can be, or in 16 or 64 bits. */
  readonly lengthBits?: 7 | 16 | 64
  /** What it says, if that is not the truth. */
  readonly length?: number | bigint
}

const TEXT = 1
const BINARY = 2
const CLOSE = 8
const PING = 9
const PONG = 10

const REQUEST = Buffer.from('{"jsonrpc":"2.0","id":1,"method":"getSession","params":{"id":"fuzz-none"}}')

/** One frame, right or wrong, as it would stand on the wire. */
function frame(payload: Buffer, head: Head = {}): Buffer {
  const { fin = true, rsv = 0, opcode = TEXT, masked = true } = head
  const length = BigInt(head.length ?? payload.length)
  const bits = head.lengthBits ?? (length < 126n ? 7 : length < 65_536n ? 16 : 64)
  const parts: Buffer[] = [Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode])]
  const mask = masked ? 0x80 : 0
  if (bits === 7) parts.push(Buffer.from([mask | Number(length)]))
  else {
    const size = Buffer.alloc(bits === 16 ? 3 : 9)
    size[0] = mask | (bits === 16 ? 126 : 127)
    if (bits === 16) size.writeUInt16BE(Number(length & 0xffffn), 1)
    else size.writeBigUInt64BE(length & 0xffffffffffffffffn, 1)
    parts.push(size)
  }
  // A mask of zeros is a mask.
  if (masked) parts.push(Buffer.alloc(4))
  parts.push(payload)
  return Buffer.concat(parts)
}

function fragments(dice: Dice, count: number, between: (dice: Dice) => readonly Buffer[]): Buffer[] {
  const whole = Buffer.concat([REQUEST, Buffer.alloc(Math.max(0, count - REQUEST.length), ' ')])
  const size = Math.max(1, Math.floor(whole.length / count))
  const parts: Buffer[] = []
  for (let at = 0; at < whole.length; at += size) {
    const isLast = at + size >= whole.length
    parts.push(frame(whole.subarray(at, at + size), { fin: isLast, opcode: at === 0 ? TEXT : 0 }))
    if (!isLast) parts.push(...between(dice))
  }
  return [Buffer.concat(parts)]
}

const protocolError = [1002]

/** Each makes one input. Names are those of the report. */
const makers: Readonly<Record<string, (dice: Dice) => Omit<RawInput, 'kind'>>> = {
  'RSV bits': (dice) => ({ chunks: [frame(REQUEST, { rsv: 1 + dice.below(7) })], owed: protocolError }),
  'reserved opcodes': (dice) => ({
    chunks: [frame(REQUEST, { opcode: dice.pick([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) })],
    owed: protocolError,
  }),
  unmasked: (dice) => ({
    chunks: [frame(REQUEST, { masked: false, opcode: dice.pick([TEXT, BINARY]) })],
    owed: protocolError,
  }),
  'text that is not UTF-8': (dice) => ({
    chunks: [frame(Buffer.concat([Buffer.from('"'), dice.pick(BAD_UTF8), Buffer.from('"')]))],
    owed: [1007],
  }),
  'binary frames': (dice) => ({
    chunks: [frame(dice.bytes(dice.below(300)), { opcode: BINARY })],
    owed: [4500],
  }),
  'many fragments': (dice) => ({ chunks: fragments(dice, 100 + dice.below(2000), () => []), owed: 'answer' }),
  'control frames between fragments': (dice) => ({
    chunks: fragments(dice, 2 + dice.below(60), (by) => [
      frame(by.bytes(by.below(126)), { opcode: by.pick([PING, PONG]) }),
    ]),
    owed: 'answer',
  }),
  'fragments without a beginning': (dice) => ({
    chunks: [frame(REQUEST, { opcode: 0, fin: dice.chance(0.5) })],
    owed: protocolError,
  }),
  'a message within fragments': (dice) => ({
    chunks: [frame(REQUEST.subarray(0, 9), { fin: false }), frame(REQUEST, { fin: dice.chance(0.5) })],
    owed: protocolError,
  }),
  'control frames that are too long or in fragments': (dice) => ({
    chunks: [
      dice.chance(0.5)
        ? frame(dice.bytes(126 + dice.below(500)), { opcode: dice.pick([CLOSE, PING, PONG]) })
        : frame(dice.bytes(dice.below(100)), { opcode: dice.pick([CLOSE, PING, PONG]), fin: false }),
    ],
    owed: protocolError,
  }),
  'close frames with wrong codes': (dice) => ({
    chunks: [
      frame(closePayload(dice.pick([0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535])), { opcode: CLOSE }),
    ],
    owed: protocolError,
  }),
  'close frames of one byte': (dice) => ({
    chunks: [frame(dice.bytes(1), { opcode: CLOSE })],
    owed: protocolError,
  }),
  'close frames with a reason that is not UTF-8': (dice) => ({
    chunks: [frame(Buffer.concat([closePayload(1000), dice.pick(BAD_UTF8)]), { opcode: CLOSE })],
    owed: [1007],
  }),
  'lengths beyond the limit': (dice) => ({
    chunks: [frame(dice.bytes(20), { length: 262_145 + dice.below(2 ** 30), lengthBits: 64 })],
    owed: [1009],
  }),
  'lengths beyond 53 bits': (dice) => ({
    chunks: [
      frame(REQUEST, { length: (BigInt(dice.below(2 ** 30)) << 33n) | 0x20000000000001n, lengthBits: 64 }),
    ],
    owed: [1009],
  }),
  'lengths not as short as can be': (dice) => ({
    chunks: [frame(REQUEST, { lengthBits: dice.pick([16, 64]) })],
    owed: 'any',
  }),
  'lengths that are too short': (dice) => ({
    chunks: [frame(REQUEST, { length: dice.below(REQUEST.length) }), dice.bytes(40)],
    owed: 'any',
  }),
  'frames cut short': (dice) => {
    const whole = frame(REQUEST)
    return { chunks: [whole.subarray(0, 1 + dice.below(whole.length - 1))], owed: 'any' }
  },
  'a good frame in many writes': (dice) => {
    const whole = frame(REQUEST)
    const cuts = [dice.below(whole.length), dice.below(whole.length)].sort((a, b) => a - b) as [
      number,
      number,
    ]
    return {
      chunks: [whole.subarray(0, cuts[0]), whole.subarray(cuts[0], cuts[1]), whole.subarray(cuts[1])],
      owed: 'answer',
    }
  },
  noise: (dice) => ({ chunks: [dice.bytes(1 + dice.below(400))], owed: 'any' }),
  'some pings': (dice) => ({ chunks: [pings(dice, 1 + dice.below(MOST_PINGS))], owed: 'answer' }),
  // The library cuts off whoever does not take its pongs.
  'floods of pings': (dice) => ({ chunks: [pings(dice, MOST_PINGS + 1 + dice.below(2000))], owed: 'any' }),
}

export const BAD_UTF8: readonly Buffer[] = [
  'c328',
  'a0a1',
  'e228a1',
  'f0288cbc',
  'eda080',
  'c080',
  'f4908080',
  'ff',
  'e282',
].map((hex) => Buffer.from(hex, 'hex'))

/** Pongs that ws lets wait for one client. */
const MOST_PINGS = 60

function pings(dice: Dice, count: number): Buffer {
  return Buffer.concat([
    ...Array.from({ length: count }, () => frame(dice.bytes(8), { opcode: PING })),
    frame(REQUEST),
  ])
}

function closePayload(code: number): Buffer {
  const payload = Buffer.alloc(2)
  payload.writeUInt16BE(code)
  return payload
}

export function rawInput(dice: Dice): RawInput {
  const kind = dice.pick(Object.keys(makers))
  const make = makers[kind] as (typeof makers)[string]
  return { kind, ...make(dice) }
}
