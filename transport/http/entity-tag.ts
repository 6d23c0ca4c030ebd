/** Positions as entity tags (`"<epoch>-<version>"`) and as ids of server-sent events (the same without quotes). */
import { TroupeError } from '../../actors/errors.ts'
import type { Position } from '../../actors/session.ts'

const POSITION = /^(0|[1-9][0-9]{0,19})-([1-9][0-9]{0,14})$/
/** A proxy that compresses makes a tag weak; it names the same position. */
const TAG = /^(?:W\/)?"([^"]*)"$/

export function positionText({ epoch, version }: Position): string {
  return `${epoch}-${version}`
}

export function entityTag(position: Position): string {
  return `"${positionText(position)}"`
}

/** @throws TroupeError `invalid_params`, naming `what` */
export function parsePosition(text: string, what: string): Position {
  const [, epoch, version] = POSITION.exec(text) ?? []
  if (epoch !== undefined && version !== undefined) return { epoch, version: Number(version) }
  throw new TroupeError(
    'invalid_params',
    `${what} must be <epoch>-<version>, as in the ETag of a session and the ids of its events`,
  )
}

/**
 * The position that `If-Match` asks for; `undefined` for `*`: any.
 * @throws TroupeError `invalid_params`; a condition that is not understood must not be ignored
 */
export function parseIfMatch(header: string): Position | undefined {
  const text = header.trim()
  if (text === '*') return undefined
  const tag = TAG.exec(text)?.[1]
  if (tag !== undefined) return parsePosition(tag, 'If-Match')
  throw new TroupeError('invalid_params', 'If-Match must be one ETag of the session, with its quotes, or *')
}

/** Whether `If-None-Match` names this position: the client holds it already. */
export function isHeld(header: string | undefined, position: Position): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  const wanted = positionText(position)
  return header.split(',').some((tag) => TAG.exec(tag.trim())?.[1] === wanted)
}
