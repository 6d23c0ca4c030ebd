/** Timers that come due while no process runs: what becomes of them, by the policy of their definition. */
import { setup } from 'xstate'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import type { SessionDefinition } from '../../actors/define-session.ts'
import { partitionOf } from '../../actors/partitions.ts'
import type { PublicState, SessionRecord } from '../../actors/session.ts'
import { dueTimes } from '../../actors/timers.ts'
import { NOBODY, sid, sleepMs, TestCluster, until } from '../support/hosts.ts'
import type { TestProcess } from '../support/hosts.ts'
import { timedProcess } from './timed-process.ts'

const DELAY_MS = 600

function egg(overdueTimers: SessionDefinition['overdueTimers'] & string): SessionDefinition {
  return defineSession({
    name: `egg-${overdueTimers}`,
    version: 1,
    overdueTimers,
    machine: setup({}).createMachine({
      initial: 'boiling',
      states: { boiling: { after: { [DELAY_MS]: 'done' } }, done: {} },
    }),
  })
}

const definitions = [egg('deadline'), egg('remaining'), egg('restart')]
const cluster = new TestCluster()
let idle: TestProcess

beforeAll(async () => {
  idle = await cluster.process({ definitions })
})
afterAll(() => cluster.close())

async function read(record: SessionRecord): Promise<SessionRecord> {
  const now = await idle.store.read(record.id)
  if (now === null) throw new Error(`session ${record.id} is gone`)
  return now
}

function valueOf({ state }: SessionRecord): unknown {
  return (JSON.parse(state) as PublicState).value
}

function dueOf({ timers }: SessionRecord): number {
  return dueTimes(timers)[0]?.dueMs ?? 0
}

/** A session whose timer came due between these times of a downtime, in ms after its own. */
async function overdue(machine: string, fromMs: number, toMs: number): Promise<SessionRecord> {
  const { record } = await idle.host.create({ machine, ttlMs: 60_000 }, NOBODY)
  await sleepMs(DELAY_MS + 100)
  const home = cluster.keys.home(partitionOf(record.id))
  await cluster.redis.hset(home, 'downtime', `${dueOf(record) + fromMs} ${dueOf(record) + toMs}`)
  return record
}

describe('TM1 a timer that came due while no process ran', () => {
  it.each([
    ['egg-remaining', 100],
    ['egg-restart', DELAY_MS],
  ])('%s waits again, and once only', async (machine, waitMs) => {
    const record = await overdue(machine, -100, 50)
    const process = await timedProcess(cluster, definitions)
    try {
      await until(async () => (await read(record)).version === 2)
      const again = await read(record)
      expect(valueOf(again)).toBe('boiling')
      expect(dueOf(again) - again.updatedAt).toBe(waitMs)
      await until(async () => valueOf(await read(record)) === 'done')
      const fired = await read(record)
      expect(fired.version).toBe(3)
      expect(fired.updatedAt).toBeGreaterThanOrEqual(again.updatedAt + waitMs)
    } finally {
      process.stop()
    }
  })

  it.each([
    ['egg-deadline', 'in the downtime', -100, 50],
    ['egg-restart', 'before the downtime', 1, 50],
    ['egg-restart', 'after the downtime', -30_000, -1],
  ])('%s that came due %s fires at once', async (machine, _when, fromMs, toMs) => {
    const record = await overdue(machine, fromMs, toMs)
    const process = await timedProcess(cluster, definitions)
    try {
      await until(async () => valueOf(await read(record)) === 'done')
      expect((await read(record)).version).toBe(2)
    } finally {
      process.stop()
    }
  })
})

describe('a look at a partition', () => {
  it('tells of a downtime once nobody has looked for 10 s, and every process hears of it', async () => {
    const partition = partitionOf(sid('anything'))
    const home = cluster.keys.home(partition)
    const [seconds] = await cluster.redis.time()
    const before = Number(seconds) * 1000 - 20_000
    await cluster.redis.hset(home, 'sweeper', `dead:${before + 1500}:${before}`)
    await cluster.redis.hdel(home, 'downtime')
    const { downtime } = await idle.store.look(partition, 0, 10)
    expect(downtime?.fromMs).toBe(before)
    expect(downtime?.toMs).toBeGreaterThanOrEqual(before + 20_000)
    const other = await cluster.store()
    expect(await other.look(partition, 0, 10)).toMatchObject({ downtime, due: [] })
    expect(await idle.store.look(partition, 0, 10)).toMatchObject({ downtime })
  })

  it('tells of none while somebody looks', async () => {
    const partition = partitionOf(sid('something-else'))
    await cluster.redis.hdel(cluster.keys.home(partition), 'downtime', 'sweeper')
    await idle.store.look(partition, 0, 10)
    await sleepMs(20)
    expect((await idle.store.look(partition, 0, 10)).downtime).toBeNull()
  })
})
