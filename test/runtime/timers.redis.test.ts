/** Timers of sessions on processes that share a Redis: on time, once, and not at all if cancelled. */
import { assign, cancel, raise, sendParent, setup } from 'xstate'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import { partitionOf } from '../../actors/partitions.ts'
import type { SessionId } from '../../actors/session.ts'
import { NOBODY, sleepMs, TestCluster, until } from '../support/hosts.ts'
import { timedProcess } from './timed-process.ts'
import type { TimedProcess } from './timed-process.ts'

const ringer = setup({}).createMachine({ after: { 40: { actions: sendParent({ type: 'RING' }) } } })

const alarm = defineSession({
  name: 'alarm',
  version: 1,
  machine: setup({
    types: {} as {
      context: { rung: number; ms: number }
      input: { ms: number }
      events:
        | { type: 'RING' }
        | { type: 'SNOOZE' }
        | { type: 'OFF' }
        | { type: 'LATER' }
        | { type: 'CHILD' }
        | { type: 'BREAK' }
    },
    actors: { ringer },
    delays: { set: ({ context }) => context.ms },
  }).createMachine({
    context: ({ input }) => ({ rung: 0, ms: input.ms }),
    initial: 'set',
    states: {
      set: {
        entry: raise({ type: 'RING' }, { id: 'ring', delay: 'set' }),
        on: {
          RING: { actions: assign({ rung: ({ context }) => context.rung + 1 }) },
          SNOOZE: { target: 'set', reenter: true },
          OFF: { actions: cancel('ring') },
          LATER: { actions: raise({ type: 'RING' }, { delay: 2500 }) },
          CHILD: 'nested',
          BREAK: { actions: raise({ type: 'BROKEN' } as never, { delay: 10 }) },
          BROKEN: {
            actions: assign(() => {
              throw new Error('it broke')
            }),
          } as never,
        },
      },
      nested: {
        invoke: { src: 'ringer', id: 'ringer' },
        on: { RING: { actions: assign({ rung: ({ context }) => context.rung + 1 }), target: 'set' } },
      },
    },
  }),
})

const restless = defineSession({
  name: 'restless',
  version: 1,
  machine: setup({}).createMachine({
    initial: 'a',
    on: { STOP: '.off' },
    states: { a: { after: { 0: 'b' } }, b: { after: { 0: 'a' } }, off: {} },
  }),
})

let cluster: TestCluster
let p: TimedProcess
let q: TimedProcess

const timed = (): Promise<TimedProcess> => timedProcess(cluster, [alarm, restless])

beforeAll(async () => {
  cluster = new TestCluster()
  p = await timed()
  q = await timed()
})
afterAll(async () => {
  p.stop()
  q.stop()
  await cluster.close()
})

const rung = async (id: SessionId): Promise<number> =>
  (JSON.parse((await q.host.get(id))?.state ?? '{}') as { context: { rung: number } }).context.rung

const create = async (ms: number): Promise<SessionId> =>
  (await p.host.create({ machine: 'alarm', input: { ms } }, NOBODY)).record.id

describe('a timer', () => {
  it('TM1 TM2 fires on time by the clock of Redis, once, though two processes look after it', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, (_, n) => create(100 + 10 * n)))
    await until(async () => (await Promise.all(ids.map(rung))).every((times) => times > 0))
    await sleepMs(300)
    for (const [n, id] of ids.entries()) {
      const rows = await rowsOf(id)
      expect(rows.map(({ kind }) => kind)).toEqual(['created', 'timer'])
      const late = (rows[1]?.time ?? 0) - (rows[0]?.time ?? 0) - (100 + 10 * n)
      expect(late).toBeGreaterThanOrEqual(0)
    }
  })

  it('TM1 fires though the process that armed it is gone', async () => {
    const dying = await timed()
    const { id } = (await dying.host.create({ machine: 'alarm', input: { ms: 700 } }, NOBODY)).record
    dying.stop()
    dying.store.stop()
    await until(async () => (await rung(id)) === 1, 12_000)
  })

  it('TM1 CM7 fires though the process that finds it knows the session as it was before', async () => {
    const id = await create(60_000)
    await p.host.update({ id, event: { type: 'OFF' } }, NOBODY)
    // p keeps this version warm, without timers; what q arms is due too late for q to remember it.
    expect((await p.host.get(id))?.timers).toBe('-')
    await q.host.update({ id, event: { type: 'LATER' } }, NOBODY)
    q.stop()
    await until(async () => (await rung(id)) === 1, 10_000)
    q = await timed()
  })

  it('TM3 never fires once it was cancelled or armed anew', async () => {
    const [off, snoozed] = [await create(150), await create(150)]
    await q.host.update({ id: off, event: { type: 'OFF' } }, NOBODY)
    for (let n = 0; n < 4; n++) {
      await sleepMs(60)
      await q.host.update({ id: snoozed, event: { type: 'SNOOZE' } }, NOBODY)
    }
    // It leaves its state each time, but a delayed raise goes on until it is cancelled: five were armed.
    await until(async () => (await rung(snoozed)) === 5)
    await sleepMs(200)
    expect(await rung(snoozed)).toBe(5)
    expect(await rung(off)).toBe(0)
    expect(await cluster.redis.zscore(cluster.keys.timers(partitionOf(off)), `t:${off}`)).toBeNull()
  })

  it('TM2 of a child machine fires in the child, whichever process does it', async () => {
    const id = await create(60_000)
    await q.host.update({ id, event: { type: 'CHILD' } }, NOBODY)
    await until(async () => (await rung(id)) === 1)
    const record = await p.host.get(id)
    expect(JSON.parse(record?.state ?? '')).toMatchObject({ value: 'set' })
    // The alarm of the first hour, and that of the state entered again.
    expect(record?.timers.match(/;/g)).toHaveLength(2)
  })

  it('keeps its session alive until it has fired', async () => {
    const id = (await p.host.create({ machine: 'alarm', input: { ms: 900 }, ttlMs: 100 }, NOBODY)).record.id
    await sleepMs(400)
    expect(await p.host.get(id)).not.toBeNull()
    expect(await cluster.redis.pttl(cluster.keys.session(id))).toBe(-1)
    await until(async () => (await p.host.get(id)) === null)
    expect((await rowsOf(id)).map(({ kind }) => kind).slice(0, 2)).toEqual(['created', 'timer'])
  })

  it('of a machine that arms itself without a pause keep nobody out, neither of that session nor of others', async () => {
    const { id } = (await p.host.create({ machine: 'restless' }, NOBODY)).record
    const other = await create(300)
    await until(async () => ((await q.host.get(id))?.version ?? 0) > 20)
    await until(async () => (await rung(other)) === 1)
    expect(await q.host.update({ id, event: { type: 'STOP' } }, NOBODY)).toMatchObject({
      outcome: 'committed',
    })
    expect(await p.host.delete(id, NOBODY)).toBe(true)
  })

  it('of a session whose record has vanished is forgotten', async () => {
    const id = await create(50)
    await cluster.redis.del(cluster.keys.session(id))
    const entry = (): Promise<string | null> =>
      cluster.redis.zscore(cluster.keys.timers(partitionOf(id)), `t:${id}`)
    expect(await entry()).not.toBeNull()
    await until(async () => (await entry()) === null)
  })

  it('TM1 many that are due at once all fire, also those behind others that are not due yet', async () => {
    // All of one partition, more than one look takes in.
    const ids: SessionId[] = []
    for (let n = 0; ids.length < 1200; n++) {
      const id = `many-${n}`
      if (partitionOf(id) === 7) ids.push(id as SessionId)
    }
    await Promise.all(
      ids.map((id, n) =>
        p.host.create({ machine: 'alarm', id, input: { ms: n < 100 ? 1500 : 1000 } }, NOBODY),
      ),
    )
    await until(async () => (await Promise.all(ids.map(rung))).every((times) => times === 1), 15_000)
  })

  it('whose event the machine throws at is dropped, told in the audit and the log, and the session lives', async () => {
    const id = await create(60_000)
    await p.host.update({ id, event: { type: 'BREAK' } }, NOBODY)
    await until(async () => (await q.host.get(id))?.version === 3)
    const rows = await rowsOf(id)
    expect(rows[2]).toMatchObject({ kind: 'timer', audit: { event: { type: 'BROKEN' } } })
    expect(rows[2]?.audit['failed']).toContain('it broke')
    await sleepMs(100)
    expect((await rowsOf(id)).length).toBe(3)
    expect(await p.host.update({ id, event: { type: 'SNOOZE' } }, NOBODY)).toMatchObject({
      outcome: 'committed',
    })
  })
})

interface Row {
  readonly kind: string
  readonly time: number
  readonly audit: Record<string, unknown>
}

async function rowsOf(id: SessionId): Promise<Row[]> {
  const entries = await cluster.redis.xrange(cluster.keys.outbox(partitionOf(id)), '-', '+')
  return entries
    .map(([, fields]) => ({ words: (fields[1] ?? '').split(' '), audit: fields[3] ?? '{}' }))
    .filter(({ words }) => words[0] === id)
    .map(({ words, audit }) => ({
      kind: words[5] ?? '',
      time: Number(words[6]),
      audit: JSON.parse(audit) as Record<string, unknown>,
    }))
}
