/** Cursors of lists: where a page ended, for whoever asks the same question on. Opaque to clients, and checked. */
import { createHash } from 'node:crypto'
import { TroupeError } from '../actors/errors.ts'
import type { ListRequest } from '../actors/session-list.ts'
import { parseSessionId } from '../actors/session.ts'
import type { ListPlace } from '../persistence/audit/session-list.ts'

const FORM = /^1 (\d{1,18}) (\S+) ([0-9a-f]{16})$/

/** It grants nothing that its holder could not ask for anyway; the digest finds what was cut, mixed up or made up. */
export function encodeCursor(request: ListRequest, { epoch, sessionId }: ListPlace): string {
  const text = `1 ${epoch} ${sessionId} ${digestOf(request, epoch, sessionId)}`
  return Buffer.from(text).toString('base64url')
}

/** @throws TroupeError `invalid_params` */
export function decodeCursor(request: ListRequest, cursor: string): ListPlace {
  const [, epoch = '', sessionId = '', digest] = FORM.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  if (parseSessionId(sessionId) !== null && digest === digestOf(request, epoch, sessionId))
    return { epoch, sessionId }
  throw new TroupeError(
    'invalid_params',
    'cursor: is not one that was given for this question; give nextCursor as it came, with the same machine, state, tag, status and since',
  )
}

function digestOf(request: ListRequest, epoch: string, sessionId: string): string {
  const { machine, state, tag, status, since } = request
  const about = [machine, state, tag, status, since, epoch, sessionId].map((each) => each ?? null)
  return createHash('sha256').update(JSON.stringify(about)).digest('hex').slice(0, 16)
}
