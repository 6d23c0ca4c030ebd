/** Bodies of requests: JSON in UTF-8, bounded, by the rules of frames. */
import type { IncomingMessage } from 'node:http'
import { TroupeError } from '../../actors/errors.ts'
import type { Clock } from '../../actors/ports.ts'
import type { GatewayLimits } from '../gateway/limits.ts'
import { parseValue } from '../protocol/codec.ts'
import { HttpError } from './problem.ts'

/** What a client still sends of a body that is too large is read and forgotten up to here, so that it hears why. */
const FORGOTTEN_BYTES = 16 * 1024 * 1024

/** The client has gone before its request was complete: there is nobody to answer. */
export class Abandoned extends Error {
  constructor() {
    super('the client has gone')
    this.name = 'Abandoned'
  }
}

/** @throws TroupeError `too_large`, `parse_error`, `invalid_request`; {@link HttpError} 408, 415; {@link Abandoned} */
export async function readJson(
  request: IncomingMessage,
  { maxFrameBytes, maxJsonDepth, bodyWithinMs }: GatewayLimits,
  clock: Clock,
): Promise<unknown> {
  checkType(request)
  const body = readBytes(request, maxFrameBytes)
  const late = clock.setTimeout(() => body.giveUp(bodyWithinMs), bodyWithinMs)
  const bytes = await body.read.finally(() => late.cancel())
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new TroupeError('parse_error', 'The body is not UTF-8.')
  }
  return parseValue(text, maxJsonDepth)
}

/** A page can send other types to any server without asking; this one it must ask for. */
function checkType({ headers }: IncomingMessage): void {
  const [type = '', ...parameters] = (headers['content-type'] ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim())
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice(8)
  const isUtf8 = charset === undefined || ['utf-8', '"utf-8"', 'utf8'].includes(charset)
  if (!/^application\/(?:[\w.-]+\+)?json$/.test(type) || !isUtf8)
    throw unsupported('Send JSON in UTF-8, with Content-Type: application/json.')
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') throw unsupported('Send the body as it is, without Content-Encoding.')
}

function unsupported(sentence: string): HttpError {
  return new HttpError(415, 'invalid_request', sentence, { headers: { Accept: 'application/json' } })
}

interface Body {
  readonly read: Promise<Buffer>
  /** It did not come in time: what still comes of it is of no interest. */
  readonly giveUp: (ms: number) => void
}

function readBytes(request: IncomingMessage, maxBytes: number): Body {
  const chunks: Buffer[] = []
  let size = 0
  const { promise: read, resolve, reject } = promiseParts<Buffer>()
  const refuse = (error: Error): void => {
    chunks.length = 0
    reject(error)
  }
  const refuseSize = (): void =>
    refuse(new TroupeError('too_large', `The body is larger than ${maxBytes} bytes.`))
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) refuseSize()
  request.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size <= maxBytes) chunks.push(chunk)
    else if (size <= maxBytes + FORGOTTEN_BYTES) refuseSize()
    else request.destroy()
  })
  request.on('end', () => resolve(Buffer.concat(chunks)))
  request.on('error', () => reject(new Abandoned()))
  request.on('close', () => reject(new Abandoned()))
  return {
    read,
    giveUp: (ms) =>
      refuse(
        new HttpError(408, 'timeout', `The body did not come within ${ms} ms. Nothing was done.`, {
          headers: { Connection: 'close' },
        }),
      ),
  }
}

function promiseParts<T>() {
  let resolve: (value: T) => void = () => undefined
  let reject: (error: Error) => void = () => undefined
  const promise = new Promise<T>((...given) => ([resolve, reject] = given))
  return { promise, resolve: (value: T) => resolve(value), reject: (error: Error) => reject(error) }
}
