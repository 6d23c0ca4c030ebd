/** Sessions that go on as far as the audit knows, and of which Redis holds nothing any more. */
import type { Redis } from 'ioredis'
import type pg from 'pg'
import { partitionOf } from '../../actors/partitions.ts'
import { parseSessionId } from '../../actors/session.ts'
import type { SessionId } from '../../actors/session.ts'
import type { Keys } from '../keys.ts'
import type { Newest } from './newest.ts'

const AT_ONCE = 2_000

/** One that is there, page by page. */
const GOING_ON = `
  select session_id, epoch::text, version::text, commit_id from troupe_sessions
   where ended_at is null and session_id > $1 collate "C" and ($2::text[] is null or session_id = any($2))
   order by session_id limit ${AT_ONCE}`

const STILL_SO = `
  select wanted.place::integer as place
    from unnest($1::text[], $2::text[]) with ordinality as wanted (session_id, commit_id, place)
    join troupe_sessions head on head.session_id = wanted.session_id collate "C"
   where head.ended_at is null and head.commit_id = wanted.commit_id`

interface Head {
  readonly session_id: string
  readonly epoch: string
  readonly version: string
  readonly commit_id: string
}

/**
 * @param sessionIds only these; all by default
 * @returns those that have neither record nor tombstone, and whose expiry is not still to be written
 */
export async function* goneFromRedis(
  pool: pg.Pool,
  redis: Redis,
  keys: Keys,
  sessionIds: readonly string[] | undefined,
): AsyncGenerator<Newest[]> {
  for (let after = ''; ;) {
    const { rows } = await pool.query<Head>(GOING_ON, [after, sessionIds ?? null])
    const last = rows.at(-1)
    if (last === undefined) return
    yield await withoutTrace(redis, keys, rows)
    if (rows.length < AT_ONCE) return
    after = last.session_id
  }
}

async function withoutTrace(redis: Redis, keys: Keys, heads: readonly Head[]): Promise<Newest[]> {
  const gone: Newest[] = []
  const known = heads.flatMap((head) => {
    const id = parseSessionId(head.session_id)
    return id === null ? [] : [{ id, head }]
  })
  const there = await ask(redis, known, (pipeline, id) => pipeline.exists(keys.session(id)))
  const absent = known.filter((_, index) => there[index] === 0)
  const due = await ask(redis, absent, (pipeline, id) =>
    pipeline.zscore(keys.timers(partitionOf(id)), `x:${id}`),
  )
  for (const [index, { id, head }] of absent.entries())
    if (due[index] === null)
      gone.push({ sessionId: id, epoch: head.epoch, version: Number(head.version), commitId: head.commit_id })
  return gone
}

async function ask(
  redis: Redis,
  sessions: readonly { readonly id: SessionId }[],
  command: (pipeline: ReturnType<Redis['pipeline']>, id: SessionId) => unknown,
): Promise<unknown[]> {
  if (sessions.length === 0) return []
  const pipeline = redis.pipeline()
  for (const { id } of sessions) command(pipeline, id)
  const replies = (await pipeline.exec()) ?? []
  return replies.map(([error, reply]) => {
    if (error !== null) throw error
    return reply
  })
}

/** Those that have not come to another head, or to their end, meanwhile. */
export async function stillGoingOn(pool: pg.Pool, gone: readonly Newest[]): Promise<Newest[]> {
  const still: Newest[] = []
  for (let from = 0; from < gone.length; from += AT_ONCE) {
    const part = gone.slice(from, from + AT_ONCE)
    const { rows } = await pool.query<{ place: number }>(STILL_SO, [
      part.map(({ sessionId }) => sessionId),
      part.map(({ commitId }) => commitId),
    ])
    for (const { place } of rows) {
      const each = part[place - 1]
      if (each !== undefined) still.push(each)
    }
  }
  return still
}
