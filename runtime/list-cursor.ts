/**
 * Cursors of lists: where a page ended, for whoever asks the same question on. They are encrypted, since a page may end at a session
 * that its caller may not see, and authenticated together with the question, so that one that was cut, mixed up or made up is refused.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { TroupeError } from '../actors/errors.ts'
import type { ListRequest } from '../actors/session-list.ts'
import { parseSessionId } from '../actors/session.ts'
import type { ListPlace } from '../persistence/audit/session-list.ts'

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** @param secret 32 bytes, the same on all processes */
export function encodeCursor(secret: Buffer, request: ListRequest, { epoch, sessionId }: ListPlace): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, secret, nonce).setAAD(questionOf(request))
  const text = Buffer.concat([cipher.update(`${epoch} ${sessionId}`, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64url')
}

/** @throws TroupeError `invalid_params` */
export function decodeCursor(secret: Buffer, request: ListRequest, cursor: string): ListPlace {
  const bytes = Buffer.from(cursor, 'base64url')
  const [nonce, tag, text] = [
    bytes.subarray(0, NONCE_BYTES),
    bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES),
    bytes.subarray(NONCE_BYTES + TAG_BYTES),
  ]
  try {
    const options = { authTagLength: TAG_BYTES }
    const decipher = createDecipheriv(CIPHER, secret, nonce, options).setAAD(questionOf(request))
    decipher.setAuthTag(tag)
    const place = Buffer.concat([decipher.update(text), decipher.final()]).toString()
    const [epoch = '', sessionId = ''] = place.split(' ')
    if (parseSessionId(sessionId) !== null) return { epoch, sessionId }
  } catch {
    // Refused below.
  }
  throw new TroupeError(
    'invalid_params',
    'cursor: is not one that was given for this question; give nextCursor as it came, with the same machine, state, tag, status and since',
  )
}

function questionOf({ machine, state, tag, status, since }: ListRequest): Buffer {
  return Buffer.from(JSON.stringify([machine, state, tag, status, since].map((each) => each ?? null)))
}
