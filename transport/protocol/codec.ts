/**
 * Frames to requests, and replies to frames.
 *
 * Incoming text is hostile until proven otherwise; whatever it holds, `parseFrame` returns and never throws. Outgoing
 * text is put around JSON that is encoded already: views are never parsed or encoded again on their way out.
 */
import { TroupeError } from '../../actors/errors.ts'
import { MAX_DEPTH } from './messages.ts'

export interface Request {
  readonly kind: 'request'
  /** The request's id as JSON text; `null`: it has none and is not answered. */
  readonly idText: string | null
  readonly method: string
  /** As sent, not yet validated; `{}` if absent. */
  readonly params: unknown
}

/** What is not a request, and the error that it is answered with. */
export interface Refusal {
  readonly kind: 'refusal'
  /** The id as far as one could be read, else `null` as text. */
  readonly idText: string
  readonly error: TroupeError
}

export interface Batch {
  readonly kind: 'batch'
  readonly entries: readonly (Request | Refusal)[]
}

export interface FrameLimits {
  /** Requests in one batch. */
  readonly maxBatchLength: number
  /** Levels that a frame may nest; default: {@link MAX_DEPTH}. */
  readonly maxJsonDepth?: number
}

/** Parses the text of one frame. Never throws. */
export function parseFrame(text: string, limits: FrameLimits): Request | Refusal | Batch {
  const { maxJsonDepth = MAX_DEPTH } = limits
  if (nestsDeeper(text, maxJsonDepth)) {
    return refusal('null', 'parse_error', `The frame nests deeper than ${maxJsonDepth} levels.`)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return refusal(
      'null',
      'parse_error',
      'The frame is not JSON. Send one JSON-RPC 2.0 request, or an array of them, per frame.',
    )
  }
  const suspicious = isSuspicious(text)
  if (!Array.isArray(value)) return readRequest(value, suspicious)
  if (value.length === 0) return refusal('null', 'invalid_request', 'The batch is empty.')
  if (value.length > limits.maxBatchLength) {
    return refusal(
      'null',
      'invalid_request',
      `The batch has ${value.length} requests; at most ${limits.maxBatchLength} are taken.`,
    )
  }
  return { kind: 'batch', entries: value.map((entry) => readRequest(entry, suspicious)) }
}

/**
 * Parses a body that holds one value, by the rules of frames.
 * @throws TroupeError `parse_error`, `invalid_request`
 */
export function parseValue(text: string, maxDepth = MAX_DEPTH): unknown {
  if (nestsDeeper(text, maxDepth))
    throw new TroupeError('parse_error', `The body nests deeper than ${maxDepth} levels.`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new TroupeError('parse_error', 'The body is not JSON.')
  }
  if (isSuspicious(text) && namesProto(value))
    throw new TroupeError('invalid_request', 'A member named `__proto__` is not taken.')
  return value
}

/** Any ASCII character can be written as an escape; most texts hold neither and skip the walk. */
function isSuspicious(text: string): boolean {
  return text.includes('__proto__') || text.includes('\\u00')
}

function readRequest(value: unknown, suspicious: boolean): Request | Refusal {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refusal(
      'null',
      'invalid_request',
      'A request is an object: {"jsonrpc": "2.0", "id": 1, "method": "…", "params": {…}}.',
    )
  }
  const { jsonrpc, id, method, params } = value as Record<string, unknown>
  const idText = encodeId(id)
  if (idText === undefined) {
    return refusal(
      'null',
      'invalid_request',
      '`id` must be a string or a number that a double holds exactly.',
    )
  }
  if (jsonrpc !== '2.0') return refusal(idText, 'invalid_request', '`jsonrpc` must be "2.0".')
  if (typeof method !== 'string') return refusal(idText, 'invalid_request', '`method` must be a string.')
  if (suspicious && namesProto(value)) {
    return refusal(idText, 'invalid_request', 'A member named `__proto__` is not taken.')
  }
  if (params === undefined) return { kind: 'request', idText, method, params: {} }
  if (typeof params !== 'object' || params === null) {
    return refusal(idText, 'invalid_request', '`params` must be an object.')
  }
  return { kind: 'request', idText, method, params }
}

/** `null`: no id; `undefined`: not an id. A number that lost digits could not be matched by its sender. */
function encodeId(id: unknown): string | null | undefined {
  if (id === undefined) return null
  if (id === null) return 'null'
  if (typeof id === 'string') return JSON.stringify(id)
  if (typeof id !== 'number' || !Number.isFinite(id)) return undefined
  return Number.isInteger(id) && !Number.isSafeInteger(id) ? undefined : String(id)
}

function refusal(idText: string | null, code: 'parse_error' | 'invalid_request', message: string): Refusal {
  return { kind: 'refusal', idText: idText ?? 'null', error: new TroupeError(code, message) }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Counted in the text, before `JSON.parse` builds anything: later code may walk values by recursion. */
function nestsDeeper(text: string, limit: number): boolean {
  if (text.length <= limit) return false
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (inString) {
      if (c === BACKSLASH) i++
      else if (c === QUOTE) inString = false
    } else if (c === QUOTE) inString = true
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > limit) return true
    } else if (c === 0x7d || c === 0x5d) depth--
  }
  return false
}

/** Whether an object in the value has an own member `__proto__`: copying it by assignment would set a prototype. */
function namesProto(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return value.some(namesProto)
  return Object.entries(value).some(([name, member]) => name === '__proto__' || namesProto(member))
}

/** A reply around the JSON text of its result. */
export function resultText(idText: string, result: string): string {
  return `{"jsonrpc":"2.0","id":${idText},"result":${result}}`
}

/** A reply around the JSON text of its error object. */
export function errorReplyText(idText: string, error: string): string {
  return `{"jsonrpc":"2.0","id":${idText},"error":${error}}`
}
