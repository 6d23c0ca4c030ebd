/**
 * News of a session that came before what it follows on, oldest first. Never changed in place: mostly there is none, and
 * all sessions share that.
 */
import type { SessionUpdated } from '../../actors/feed-message.ts'
import { comparePositions } from '../../actors/session.ts'

export type HeldNews = readonly SessionUpdated[]

export const NOTHING_HELD: HeldNews = []

/** More waiting news than this is not worth sorting: read the session again at once. */
export const MAX_HELD = 256

/** With one more; the same list if it is there already. */
export function withNews(held: HeldNews, news: SessionUpdated): HeldNews {
  if (held.some(({ record }) => comparePositions(record, news.record) === 0)) return held
  return [...held, news].sort((a, b) => comparePositions(a.record, b.record))
}
