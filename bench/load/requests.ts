/**
 * Requests, encoded and masked once per session; sending one copies it and writes the request's id and one digit of
 * its content into the copy. Replies are told apart by their first bytes and never parsed.
 */
import { encodeFrame, maskAt } from './web-socket.ts'

export const methods = ['getSession', 'updateSession', 'broadcastToSession', 'subscribe'] as const
export type Method = (typeof methods)[number]

/** Request ids have eight digits, so that they can be written in place. */
export const FIRST_ID = 10_000_000
const ID_DIGITS = 8
const ID_OFFSET = '{"jsonrpc":"2.0","id":'.length
const ZERO = 0x30

export class RequestTemplate {
  readonly #frame: Buffer
  readonly #payloadAt: number
  /** Offset in the payload of a digit 1 to 9 that varies; -1: none. */
  readonly #digitOffset: number

  constructor(method: Method, session: string) {
    const payload = Buffer.from(
      `{"jsonrpc":"2.0","id":${FIRST_ID},"method":"${method}","params":${paramsOf(method, session)}}`,
    )
    this.#frame = encodeFrame(payload)
    this.#payloadAt = this.#frame.length - payload.length
    const marker = payload.indexOf(DIGIT)
    this.#digitOffset = marker < 0 ? -1 : marker + DIGIT.length - 1
  }

  encode(id: number): Buffer {
    const frame = Buffer.allocUnsafe(this.#frame.length)
    this.#frame.copy(frame)
    let rest = id
    for (let offset = ID_OFFSET + ID_DIGITS - 1; offset >= ID_OFFSET; offset--) {
      const next = Math.trunc(rest / 10)
      frame[this.#payloadAt + offset] = (ZERO + rest - next * 10) ^ maskAt(offset)
      rest = next
    }
    if (this.#digitOffset >= 0) {
      frame[this.#payloadAt + this.#digitOffset] = (ZERO + 1 + (id % 9)) ^ maskAt(this.#digitOffset)
    }
    return frame
  }
}

const DIGIT = '"quantity":1'

function paramsOf(method: Method, session: string): string {
  switch (method) {
    case 'getSession':
    case 'subscribe':
      return `{"id":"${session}"}`
    case 'updateSession':
      return `{"id":"${session}","event":{"type":"SET_QUANTITY","line":2,"quantity":1}}`
    case 'broadcastToSession':
      return `{"id":"${session}","message":{"kind":"typing","by":"c-4711"}}`
  }
}

export type Reply =
  | { readonly kind: 'result'; readonly id: number; readonly at: number }
  | { readonly kind: 'error'; readonly id: number }
  | { readonly kind: 'notification' }

const NOTIFICATION: Reply = { kind: 'notification' }
const UPDATE = methods.indexOf('updateSession')
const COMMITTED = '{"outcome":"committed"'

/** What a message of the server is; `at` is where its result begins. */
export function recognise(bytes: Buffer, from: number, to: number): Reply {
  // {"jsonrpc":"2.0","id":12345678,"result":
  const afterId = from + ID_OFFSET + ID_DIGITS
  if (bytes[from + 18] === 0x69 /* i */ && bytes[afterId] === 0x2c && bytes[afterId + 2] === 0x72 /* r */) {
    let id = 0
    for (let at = afterId - ID_DIGITS; at < afterId; at++) id = id * 10 + (bytes[at] ?? ZERO) - ZERO
    return { kind: 'result', id, at: afterId + '"result":'.length + 1 }
  }
  if (bytes[from + 18] === 0x6d /* m */) return NOTIFICATION
  const message = JSON.parse(bytes.toString('utf8', from, to)) as {
    id?: number
    method?: string
    error?: object
  }
  if (typeof message.id !== 'number') return NOTIFICATION
  if (message.error !== undefined) return { kind: 'error', id: message.id }
  throw new Error('the server writes the members of replies in another order than the driver reads them')
}

/** Whether the result that begins at `at` is what a request of this method asks for. */
export function isExpected(method: number, bytes: Buffer, at: number): boolean {
  if (method === UPDATE) return bytes.toString('latin1', at, at + COMMITTED.length) === COMMITTED
  // A view is `{"…`, and the result of a broadcast `{}`; what must not come is `null`.
  return bytes[at] === 0x7b
}
