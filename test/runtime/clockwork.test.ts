/** When a process fires timers, on a store that says what a test wants: it looks at each partition first. */
import { beforeEach, expect, it } from 'vitest'
import { TroupeError } from '../../actors/errors.ts'
import { partitionOf, PARTITIONS } from '../../actors/partitions.ts'
import { StoreFailure } from '../../actors/ports.ts'
import type { Downtime, Due, Look } from '../../actors/ports.ts'
import type { SessionRecord } from '../../actors/session.ts'
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
let clockwork: Clockwork

beforeEach(() => {
  clock = new ManualClock()
  isAway = false
  due = []
  downtime = null
  failure = null
  looks = 0
  fired = []
  clockwork = new Clockwork({
    store: {
      look: async (partition): Promise<Look> => {
        if (isAway) throw new StoreFailure('not-applied', 'Redis is not connected')
        if (partition === HOME) looks++
        return { due: partition === HOME ? due : [], hasMail: false, downtime }
      },
      now: () => clock.now(),
    },
    expire: async () => undefined,
    fire: async (_id, of) => {
      fired.push(of)
      if (failure !== null) throw failure
    },
    takeOver: async () => undefined,
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
