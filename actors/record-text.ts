/**
 * A record as text: `<header>\n<state>\n<internals>`. The header is a small JSON object that `commit.lua` reads and
 * writes; the other two lines are copied untouched. JSON text holds no line feed, so lines need no escaping.
 */
import type { Position, SessionId, SessionRecord } from './session.ts'

/** Format of records. A record of another format is refused, never guessed at. */
export const RECORD_FORMAT = 1

/** Short names keep the header small: it is decoded by the script at every commit. */
interface Header {
  /** format */ f: number
  /** epoch */ e: string
  /** version */ v: number
  /** commit id */ c: string
  /** machine */ m: string
  /** machine version */ mv: number
  /** created, updated, expires (0: never), in ms */ ca: number
  ua: number
  xa: number
  /** ttl while active and when done, in ms (0: unlimited) */ tl: number
  dt: number
}

const POSITION = /^\{"e":"(\d+)","v":(\d+),/

/** How many characters of a record {@link parsePosition} needs. */
export const POSITION_LENGTH = 64

/** The position of a record from its first characters; `null` if they are not those of a record or tombstone. */
export function parsePosition(start: string): Position | null {
  const found = POSITION.exec(start)
  return found === null ? null : { epoch: found[1] ?? '', version: Number(found[2]) }
}

/** @returns `null` if the text is a tombstone, or not a record of this format. */
export function parseRecord(id: SessionId, text: string): SessionRecord | null {
  const first = text.indexOf('\n')
  const second = text.indexOf('\n', first + 1)
  if (first < 0 || second < 0) return null
  const header = JSON.parse(text.slice(0, first)) as Header
  if (header.f !== RECORD_FORMAT) return null
  return {
    id,
    epoch: header.e,
    version: header.v,
    commitId: header.c,
    machine: header.m,
    machineVersion: header.mv,
    createdAt: header.ca,
    updatedAt: header.ua,
    expiresAt: header.xa || null,
    ttlMs: header.tl || null,
    doneTtlMs: header.dt || null,
    state: text.slice(first + 1, second),
    internals: text.slice(second + 1),
  }
}
