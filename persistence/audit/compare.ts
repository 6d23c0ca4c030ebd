/** The newest position of each session in Redis, held against the audit: what is on its way, and what is missing. */
import { Redis } from 'ioredis'
import type pg from 'pg'
import { PARTITIONS } from '../../actors/partitions.ts'
import { HEAD_LENGTH, parseHead } from '../../actors/record-text.ts'
import { parseSessionId } from '../../actors/session.ts'
import { Keys } from '../keys.ts'
import type { Newest } from './newest.ts'
import { goneFromRedis, stillGoingOn } from './vanished.ts'

export interface Comparison {
  /** Records and tombstones that were looked at. */
  readonly sessions: number
  /** Entries of all outboxes, and the age of the oldest one in ms. */
  readonly waiting: number
  readonly oldestMs: number
  /** Sessions whose newest commit waits in an outbox. */
  readonly behind: number
  /** Neither a row nor in an outbox, though Redis holds their commit; at most {@link MAX_NAMED} are named. */
  readonly missing: readonly Newest[]
  readonly missingCount: number
  /** The audit holds a newer commit than Redis, which has lost it, or holds nothing of a session that goes on. */
  readonly lost: readonly Newest[]
  readonly lostCount: number
}

const AT_ONCE = 500
const MAX_NAMED = 100

/**
 * Whether the commit is there, or was as the session's newest until its day was dropped; and the newest position that is there of
 * each session.
 */
const FOUND = `
  select wanted.place::integer as place,
         exists (select 1 from troupe_transitions
                  where session_id = wanted.session_id collate "C" and epoch = wanted.epoch
                    and version = wanted.version and commit_id = wanted.commit_id collate "C")
           or coalesce((newest.epoch, newest.version, newest.commit_id) = (wanted.epoch, wanted.version, wanted.commit_id)
                       and newest.updated_at < (select kept_since::timestamp at time zone 'UTC' from troupe_retention), false)
           as is_there,
         (newest.epoch, newest.version) > (wanted.epoch, wanted.version) as is_newer,
         newest.epoch::text as epoch, newest.version::text as version, newest.commit_id
    from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) with ordinality
           as wanted (session_id, epoch, version, commit_id, place)
    left join troupe_sessions newest on newest.session_id = wanted.session_id collate "C"`

interface Found {
  readonly place: number
  readonly is_there: boolean
  readonly is_newer: boolean | null
  readonly epoch: string | null
  readonly version: string | null
  readonly commit_id: string | null
}

/**
 * Compares while both go on. What Redis holds and the audit does not is looked for in the outboxes, and then once more
 * in the audit: it may have come over meanwhile.
 * @param sessionIds only these; all by default
 * @throws Error of Redis or PostgreSQL
 */
export async function compareWithRedis(
  pool: pg.Pool,
  redisUrl: string,
  prefix: string,
  sessionIds?: readonly string[],
): Promise<Comparison> {
  const redis = new Redis(redisUrl, { lazyConnect: true, retryStrategy: () => null })
  redis.on('error', () => undefined)
  try {
    await redis.connect()
    const keys = new Keys(prefix)
    const absent: Newest[] = []
    const newer: Newest[] = []
    let sessions = 0
    for await (const batch of newestInRedis(redis, keys, sessionIds)) {
      sessions += batch.length
      for (const { place, is_there, is_newer, epoch, version, commit_id } of await find(pool, batch)) {
        const wanted = batch[place - 1]
        if (wanted === undefined) continue
        if (!is_there) absent.push(wanted)
        if (is_newer === true)
          newer.push({
            sessionId: wanted.sessionId,
            epoch: epoch ?? '',
            version: Number(version),
            commitId: commit_id ?? '',
          })
      }
    }
    const gone: Newest[] = []
    for await (const some of goneFromRedis(pool, redis, keys, sessionIds)) gone.push(...some)
    const outboxes = await readOutboxes(redis, keys, wordsOf(absent, gone))
    const isWaiting = ({ commitId }: Newest): boolean => outboxes.found.has(commitId)
    const behind = absent.filter(isWaiting)
    const unseen = await stillAbsent(
      pool,
      absent.filter((each) => !isWaiting(each)),
    )
    // Of a session that has ended, the end may be on its way, long after Redis has forgotten it.
    const vanished = gone.filter(({ sessionId }) => !outboxes.found.has(sessionId))
    const lost = [...(await stillNewer(redis, keys, newer)), ...(await stillGoingOn(pool, vanished))]
    return {
      sessions,
      waiting: outboxes.waiting,
      oldestMs: outboxes.oldestMs,
      behind: behind.length,
      missing: unseen.slice(0, MAX_NAMED),
      missingCount: unseen.length,
      lost: lost.slice(0, MAX_NAMED),
      lostCount: lost.length,
    }
  } finally {
    redis.disconnect()
  }
}

async function* newestInRedis(
  redis: Redis,
  keys: Keys,
  sessionIds: readonly string[] | undefined,
): AsyncGenerator<Newest[]> {
  if (sessionIds !== undefined) {
    yield await readHeads(redis, keys, sessionIds)
    return
  }
  for (const base of keys.bases) {
    const start = `${base}session:`
    for await (const names of redis.scanStream({ match: `${start}*`, count: AT_ONCE }))
      yield await readHeads(
        redis,
        keys,
        (names as string[]).map((name) => name.slice(start.length)),
      )
  }
}

async function readHeads(redis: Redis, keys: Keys, ids: readonly string[]): Promise<Newest[]> {
  const known = ids.map(parseSessionId).filter((id) => id !== null)
  const texts = await Promise.all(known.map((id) => redis.getrange(keys.session(id), 0, HEAD_LENGTH - 1)))
  return known.flatMap((sessionId, index) => {
    const head = parseHead(texts[index] ?? '')
    return head === null ? [] : [{ sessionId, ...head }]
  })
}

async function find(pool: pg.Pool, wanted: readonly Newest[]): Promise<Found[]> {
  if (wanted.length === 0) return []
  const { rows } = await pool.query<Found>(FOUND, [
    wanted.map(({ sessionId }) => sessionId),
    wanted.map(({ epoch }) => epoch),
    wanted.map(({ version }) => version),
    wanted.map(({ commitId }) => commitId),
  ])
  return rows
}

async function stillAbsent(pool: pg.Pool, wanted: readonly Newest[]): Promise<Newest[]> {
  const absent: Newest[] = []
  for (let from = 0; from < wanted.length; from += AT_ONCE) {
    const part = wanted.slice(from, from + AT_ONCE)
    for (const { place, is_there } of await find(pool, part)) {
      const each = part[place - 1]
      if (!is_there && each !== undefined) absent.push(each)
    }
  }
  return absent
}

/** Redis may have gone on to what the audit held when it was asked: only what is newer than Redis is now has been lost. */
async function stillNewer(redis: Redis, keys: Keys, newer: readonly Newest[]): Promise<Newest[]> {
  const lost: Newest[] = []
  for (let from = 0; from < newer.length; from += AT_ONCE) {
    const part = newer.slice(from, from + AT_ONCE)
    const now = await readHeads(
      redis,
      keys,
      part.map(({ sessionId }) => sessionId),
    )
    const positions = new Map(now.map((each) => [each.sessionId, each]))
    for (const each of part) {
      const position = positions.get(each.sessionId)
      if (position !== undefined && isNewer(each, position)) lost.push(each)
    }
  }
  return lost
}

function isNewer(a: Newest, b: Newest): boolean {
  const [ofA, ofB] = [BigInt(a.epoch), BigInt(b.epoch)]
  return ofA > ofB || (ofA === ofB && a.version > b.version)
}

function wordsOf(absent: readonly Newest[], gone: readonly Newest[]): Set<string> {
  return new Set([...absent.map(({ commitId }) => commitId), ...gone.map(({ sessionId }) => sessionId)])
}

/** How much waits, and which of the commits and sessions are among it. */
async function readOutboxes(
  redis: Redis,
  keys: Keys,
  wanted: ReadonlySet<string>,
): Promise<{ waiting: number; oldestMs: number; found: Set<string> }> {
  let waiting = 0
  let oldest = Infinity
  const found = new Set<string>()
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const outbox = keys.outbox(partition)
    let after = '-'
    waiting += await redis.xlen(outbox)
    for (;;) {
      // States are of any size, and each entry carries one.
      const entries = await redis.xrange(outbox, after, '+', 'COUNT', wanted.size === 0 ? 1 : 100)
      const [first] = entries
      if (after === '-' && first !== undefined) oldest = Math.min(oldest, Number(first[0].split('-')[0]))
      for (const [, fields] of entries) {
        const [sessionId = '', , , commitId = ''] = (fields[1] ?? '').split(' ')
        for (const word of [sessionId, commitId]) if (wanted.has(word)) found.add(word)
      }
      const last = entries.at(-1)
      if (last === undefined || wanted.size === 0) break
      after = `(${last[0]}`
    }
  }
  const [seconds = '0'] = (await redis.time()) as unknown as string[]
  return {
    waiting,
    oldestMs: oldest === Infinity ? 0 : Math.max(0, Number(seconds) * 1000 - oldest),
    found,
  }
}
