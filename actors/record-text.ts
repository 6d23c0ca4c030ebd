/**
 * A record as text: `<header>\n<state>\n<internals>`. The header is words in a fixed order that `commit.lua` reads and
 * writes at each commit; the other two lines are JSON text and copied untouched. JSON text holds no line feed, so lines
 * need no escaping.
 *
 * Header: `2` (the format), epoch, version, commit id, machine, machine version, created, updated, expires (ms, 0:
 * never), ttl, ttl when done (ms, 0: unlimited), done (0|1), reservation (`<node>:<until>` or `-`), timers
 * (`;<key>:<due>`… or `-`), runs (`;<key>:<node>`… or `-`), writers
 * (`;<node>:<commit number>:<first version>:<last version>:<time>:<epoch>`… or `-`).
 * Tombstone, for a while after a session's end: `2t`, epoch, version, commit id, reason, writers; no further lines.
 */
import type { Position, SessionId, SessionRecord } from './session.ts'

/** Format of records. A record of another format is refused, never guessed at. */
export const RECORD_FORMAT = 2

/** How many characters of a record {@link parsePosition} needs. */
export const POSITION_LENGTH = 64

const POSITION = /^2t? (\d+) (\d+) /

/** The position of a record or tombstone from its first characters; `null` if they are of neither. */
export function parsePosition(start: string): Position | null {
  const found = POSITION.exec(start)
  return found === null ? null : { epoch: found[1] ?? '', version: Number(found[2]) }
}

/** @returns `null` if the text is a tombstone, or not a record of this format. */
export function parseRecord(id: SessionId, text: string): SessionRecord | null {
  const first = text.indexOf('\n')
  const second = text.indexOf('\n', first + 1)
  if (first < 0 || second < 0) return null
  const words = text.slice(0, first).split(' ')
  if (words[0] !== String(RECORD_FORMAT)) return null
  const [, epoch, version, commitId, machine, machineVersion, created, updated, expires, ttl, doneTtl] = words
  const [timers = '-', runs = '-'] = words.slice(13, 15)
  return {
    id,
    epoch: epoch ?? '',
    version: Number(version),
    commitId: commitId ?? '',
    machine: machine ?? '',
    machineVersion: Number(machineVersion),
    createdAt: Number(created),
    updatedAt: Number(updated),
    expiresAt: Number(expires) || null,
    ttlMs: Number(ttl) || null,
    doneTtlMs: Number(doneTtl) || null,
    timers,
    runs,
    state: text.slice(first + 1, second),
    internals: text.slice(second + 1),
  }
}
