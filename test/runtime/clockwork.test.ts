/** When a process fires timers, on a store that says what a test wants: it looks at each partition first. */
import { beforeEach, expect, it } from 'vitest'
import { TroupeError } from '../../actors/errors.ts'
import { partitionOf, PARTITIONS } from '../../actors/partitions.ts'
import { StoreFailure } from '../../actors/ports.ts'
import type { Downtime, Due, Look } from '../../actors/ports.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { Clockwork } from '../../runtime/host/clockwork.ts'
import { sid } from '../support/hosts.ts'
import { ManualClock } from '../transport/support/manual-clock.ts'
import { KeptLog } from '../transport/support/parts.ts'

const ID = sid('one')
const HOME = partitionOf(ID)
const ROUND_MS = 1000

let clock: ManualClock
let isAway: boolean
let due: Due[]
let downtime: Downtime | null
let failure: Error | null
let looks: number
let fired: (Downtime | null)[]
/** Sessions whose timers or leases were tried, in order. */
let tried: SessionId[]
let clockwork: Clockwork

beforeEach(() => {
  clock = new ManualClock()
  isAway = false
  due = []
  downtime = null
  failure = null
  looks = 0
  fired = []
  tried = []
  clockwork = new Clockwork({
    store: {
      look: async (partition, _horizonMs, limit, skip = 0): Promise<Look> => {
        if (isAway) throw new StoreFailure('not-applied', 'Redis is not connected')
        if (partition === HOME) looks++
        return { due: partition === HOME ? due.slice(skip, skip + limit) : [], hasMail: false, downtime }
      },
      now: () => clock.now(),
    },
    expire: async () => undefined,
    fire: async (id, of) => {
      fired.push(of)
      tried.push(id)
      if (failure !== null) throw failure
    },
    takeOver: async (id) => {
      tried.push(id)
      if (failure !== null) throw failure
    },
    deliver: () => undefined,
    clock,
    log: new KeptLog(),
  })
})

/** A session with a timer that is due in `ms`. */
function armed(ms: number): SessionRecord {
  return { id: ID, timers: `;1:${clock.now() + ms}` } as SessionRecord
}

it('the first round goes without pauses, and a timer of the process fires on time', async () => {
  clockwork.start()
  await clock.pass(0)
  expect(looks).toBe(1)
  clockwork.arm(armed(40))
  await clock.pass(60)
  expect(fired).toHaveLength(1)
  clockwork.stop()
})

it('a process that has not looked for 5 s fires nothing before it has, and then knows of the downtime', async () => {
  clockwork.start()
  await clock.pass(ROUND_MS)
  isAway = true
  await clock.pass(6 * ROUND_MS)
  clockwork.arm(armed(40))
  await clock.pass(ROUND_MS)
  expect(fired).toEqual([])
  isAway = false
  downtime = { fromMs: 1000, toMs: clock.now() }
  due = [{ kind: 'timer', id: ID, dueMs: clock.now() }]
  await clock.pass(2 * ROUND_MS)
  expect(fired[0]).toEqual(downtime)
  clockwork.stop()
})

it('a process that does not know the definition leaves the partition to others for a while, and only that', async () => {
  clockwork.start()
  await clock.pass(0)
  failure = new TroupeError('unknown_machine_version', 'not served here')
  due = [{ kind: 'timer', id: ID, dueMs: clock.now() }]
  await clock.pass(ROUND_MS + ROUND_MS / PARTITIONS)
  expect(fired).toHaveLength(1)
  const before = looks
  await clock.pass(2 * ROUND_MS)
  expect(looks).toBe(before)
  await clock.pass(2 * ROUND_MS)
  expect(looks).toBeGreaterThan(before)
  clockwork.stop()
})

it('a partition is looked at from time to time, however often something unknown is met in it', async () => {
  clockwork.start()
  for (let ms = 0; ms < 30 * ROUND_MS; ms += ROUND_MS / 4) {
    clockwork.yield(HOME)
    await clock.pass(ROUND_MS / 4)
  }
  expect(looks).toBeGreaterThan(5)
  clockwork.stop()
})

it('what waits for another try does not keep what is due at another time: the session may be another one', async () => {
  failure = new TroupeError('internal', 'migrate threw')
  due = [{ kind: 'timer', id: ID, dueMs: clock.now() }]
  clockwork.start()
  await clock.pass(2 * ROUND_MS)
  expect(fired).toHaveLength(1)
  failure = null
  due = [{ kind: 'timer', id: ID, dueMs: clock.now() + 1 }]
  await clock.pass(2 * ROUND_MS)
  expect(fired.length).toBeGreaterThan(1)
  clockwork.stop()
})

it('what failed by an error that lasts is tried again after a minute, what may be passing at the next look', async () => {
  due = [
    { kind: 'timer', id: ID, dueMs: clock.now() },
    { kind: 'lease', id: ID, dueMs: clock.now(), node: 'gone' },
  ]
  failure = new TroupeError('internal', 'migrate threw')
  clockwork.start()
  await clock.pass(50 * ROUND_MS)
  expect(tried).toHaveLength(2)
  await clock.pass(20 * ROUND_MS)
  expect(tried).toHaveLength(4)
  failure = new TroupeError('contention', 'too many writers')
  await clock.pass(70 * ROUND_MS)
  expect(tried.length).toBeGreaterThan(10)
  clockwork.stop()
})

it('what waits for another try does not keep a look from what comes behind it', async () => {
  const ids = Array.from({ length: 100_000 }, (_, index) => sid(`s${index}`)).filter(
    (id) => partitionOf(id) === HOME,
  )
  expect(ids.length).toBeGreaterThan(1200)
  due = ids.map((id) => ({ kind: 'timer', id, dueMs: clock.now() }))
  failure = new TroupeError('internal', 'migrate threw')
  clockwork.start()
  await clock.pass(5 * ROUND_MS)
  expect(new Set(tried)).toEqual(new Set(ids))
  expect(tried).toHaveLength(ids.length)
  clockwork.stop()
})
