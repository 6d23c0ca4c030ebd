/**
 * A record as text: `<header>\n<internals>\n<state>`. The header is words in a fixed order that `commit.lua` reads and
 * writes; the other two lines are JSON text and copied untouched. JSON text holds no line feed, so lines need no escaping.
 *
 * Header: `3` (the format), updated, expires (ms, 0: never), reservation (`<node>:<until>` or `-`), epoch, version, commit id,
 * machine, machine version, created, ttl, ttl when done (ms, 0: unlimited), done (0|1), timers (`;<key>:<due>`… or `-`), runs
 * (`;<key>:<node>`… or `-`), writers (`;<node>:<commit number>:<first version>:<last version>:<time>:<epoch>`… or `-`; the time
 * of who wrote the record is `-`: it is that of the record). What only Redis decides at each commit stands in front, so that
 * all behind it can come from the writer in one piece.
 * Tombstone, for a while after a session's end: `3t`, epoch, version, commit id, reason, writers; no further lines.
 */
import type { Position, SessionId, SessionRecord } from './session.ts'

/** Format of records. A record of another format is refused, never guessed at. */
export const RECORD_FORMAT = 3

/** How many characters of a record {@link parseHead} needs. */
export const HEAD_LENGTH = 256

const HEAD = new RegExp(`^${RECORD_FORMAT}(?:t| \\d+ \\d+ \\S+) (\\d+) (\\d+) (\\S+) `)

/** Where a session stands, and by which commit, from the first characters of its record or tombstone; `null` if they are of neither. */
export function parseHead(start: string): (Position & Pick<SessionRecord, 'commitId'>) | null {
  const found = HEAD.exec(start)
  return found === null
    ? null
    : { epoch: found[1] ?? '', version: Number(found[2]), commitId: found[3] ?? '' }
}

/** @returns `null` if the text is a tombstone, or not a record of this format. */
export function parseRecord(id: SessionId, text: string): SessionRecord | null {
  const first = text.indexOf('\n')
  const second = text.indexOf('\n', first + 1)
  if (first < 0 || second < 0) return null
  const words = text.slice(0, first).split(' ')
  if (words[0] !== String(RECORD_FORMAT)) return null
  const [, updated, expires, , epoch, version, commitId, machine, machineVersion, created, ttl, doneTtl] =
    words
  const [timers = '-', runs = '-', writers = '-'] = words.slice(13, 16)
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
    writers,
    internals: text.slice(first + 1, second),
    state: text.slice(second + 1),
  }
}
