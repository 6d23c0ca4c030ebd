/** Nothing missing, nothing twice, nothing extra: what clients were told, Redis and PostgreSQL are compared; and each way to lose something is seen. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { compareWithRedis } from '../../persistence/audit/compare.ts'
import { verify } from '../../persistence/audit/verify.ts'
import type { SessionId } from '../../actors/session.ts'
import { redisUrl } from '../support/servers.ts'
import { until } from '../support/hosts.ts'
import { AuditedCluster, victims } from './audited-cluster.ts'
import { brokenPipelines } from './broken-pipelines.ts'
import { ResendingClient } from './resending-client.ts'
import { Writers } from './writers.ts'

const TRANSITIONS = 200_000
const KILLS = 100
const KILL_EVERY_MS = 1_200
const CLIENTS = 50
const SESSIONS = 200

/** @throws AssertionError that says what is missing, there twice, or extra */
async function check(audited: AuditedCluster, writers: Writers): Promise<void> {
  const { cluster } = audited
  await writers.check(cluster)
  const [{ rows } = { rows: '' }] = await cluster.rows<{ rows: string }>(
    'select count(*) as rows from troupe_transitions',
  )
  expect(Number(rows), 'rows: creations and acknowledged updates').toBe(
    writers.acknowledged + writers.sessions,
  )
  const pool = new pg.Pool({ connectionString: cluster.databaseUrl, max: 2 })
  try {
    const { counts } = await verify(pool)
    const chain = { missing: 0, fork: 0, 'broken-chain': 0, 'taken-back': 0, 'no-end': 0 }
    expect(counts).toEqual({ ...chain, 'newest-missing': 0, rejected: 0 })
    const { missingCount, lostCount, waiting } = await compareWithRedis(pool, redisUrl(), cluster.prefix)
    expect({ missingCount, lostCount, waiting }).toEqual({ missingCount: 0, lostCount: 0, waiting: 0 })
    expect(await cluster.rows('select reason from troupe_rejects')).toEqual([])
  } finally {
    await pool.end()
  }
}

describe('what clients, Redis and PostgreSQL say', () => {
  it('AU1 AU2 AU3 LC1 CM4 is the same after workers, audit process, threads and PostgreSQL were killed in turn', async () => {
    const audited = await AuditedCluster.start()
    try {
      const writers = new Writers()
      await writers.start(audited.cluster, { clients: CLIENTS, sessions: SESSIONS })
      const kills = Object.fromEntries(victims.map((victim) => [victim, 0]))
      const beganAt = Date.now()
      for (let count = 0; count < KILLS;) {
        await sleep(KILL_EVERY_MS)
        const victim = victims[count % victims.length] ?? 'worker'
        if (!(await audited.kill(victim))) continue
        kills[victim] = (kills[victim] ?? 0) + 1
        count++
      }
      await until(() => writers.acknowledged >= TRANSITIONS, 600_000)
      await writers.finish(20_000)
      const seconds = (Date.now() - beganAt) / 1000
      await audited.whenWritten(180_000)
      console.log(
        JSON.stringify({ acknowledged: writers.acknowledged, kills, threads: audited.threadsEnded, seconds }),
      )
      expect(audited.threadsEnded).toBeGreaterThanOrEqual(KILLS / victims.length)
      await check(audited, writers)
    } finally {
      await audited.stop()
    }
  }, 1_200_000)

  it.each(brokenPipelines)(
    'AU1 is not the same where %s',
    async (_how, pipeline) => {
      const audited = await AuditedCluster.start(pipeline)
      try {
        const writers = new Writers()
        await writers.start(audited.cluster, { clients: 20, sessions: 20 })
        await until(() => writers.acknowledged >= 1_000, 60_000)
        await writers.finish(20_000)
        await audited.whenWritten(60_000)
        await expect(check(audited, writers)).rejects.toThrow(/^versions of s\d+ in PostgreSQL/)
      } finally {
        await audited.stop()
      }
    },
    180_000,
  )

  it('AU1 AU2 a fork is kept, and would not be if the key had no commit id', async () => {
    const audited = await AuditedCluster.start()
    const { cluster, redis, keys } = audited
    const client = new ResendingClient(cluster.url)
    const update = async (id: string, key: string): Promise<unknown> => {
      const event = { type: 'MERGE', state: { key } }
      return (await client.request('updateSession', { id, event, key })).result?.['applied']
    }
    /** An update, which Redis then forgets; and another one in its place. */
    const fork = async (id: string): Promise<(string | null)[]> => {
      await client.request('createSession', { machine: 'document', id, key: `${id}-create` })
      const before = await redis.dumpBuffer(keys.session(id as SessionId))
      expect(await update(id, `${id}-lost`)).toBe(2)
      await audited.whenWritten(20_000)
      await redis.restore(keys.session(id as SessionId), 0, before, 'REPLACE')
      expect(await update(id, `${id}-kept`)).toBe(2)
      await audited.whenWritten(20_000)
      const rows = await cluster.rows<{ command_key: string | null }>(
        'select command_key from troupe_transitions where session_id = $1 order by 1',
        [id],
      )
      return rows.map((row) => row.command_key)
    }
    try {
      expect(await fork('forked')).toEqual(['forked-create', 'forked-kept', 'forked-lost'])
      await cluster.rows(
        `create unique index on troupe_transitions (session_id, epoch, version, day) where session_id = 'keyless'`,
      )
      expect(await fork('keyless')).toEqual(['keyless-create', 'keyless-lost'])
    } finally {
      client.close()
      await audited.stop()
    }
  }, 120_000)
})
