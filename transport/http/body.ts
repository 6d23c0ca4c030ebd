/** Bodies of requests: JSON in UTF-8, bounded, by the rules of frames. */
import type { IncomingMessage } from 'node:http'
import { TroupeError } from '../../actors/errors.ts'
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

/**
 * @param maxBytes of the body
 * @throws TroupeError `too_large`, `parse_error`, `invalid_request`; {@link HttpError} 415; {@link Abandoned}
 */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  checkType(request)
  const bytes = await readBytes(request, maxBytes)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new TroupeError('parse_error', 'The body is not UTF-8.')
  }
  return parseValue(text)
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

function readBytes(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const refuse = (): void => {
      chunks.length = 0
      reject(new TroupeError('too_large', `The body is larger than ${maxBytes} bytes.`))
    }
    if (Number(request.headers['content-length'] ?? 0) > maxBytes) refuse()
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= maxBytes) chunks.push(chunk)
      else if (size <= maxBytes + FORGOTTEN_BYTES) refuse()
      else request.destroy()
    })
    request.on('end', () => resolve(Buffer.concat(chunks)))
    request.on('error', () => reject(new Abandoned()))
    request.on('close', () => reject(new Abandoned()))
  })
}
