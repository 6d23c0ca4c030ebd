/** Events from one session to another, on processes that share a Redis. */
import { assign, enqueueActions, setup } from 'xstate'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import { MAX_HOPS, sendToSession } from '../../actors/mail.ts'
import type { Undelivered } from '../../actors/mail.ts'
import { partitionOf } from '../../actors/partitions.ts'
import { systemClock } from '../../runtime/clock.ts'
import type { SessionStore } from '../../actors/ports.ts'
import type { PublicState, SessionId, SessionRecord } from '../../actors/session.ts'
import { NOBODY, sleepMs, TestCluster, until } from '../support/hosts.ts'
import type { TestProcess } from '../support/hosts.ts'
import { overriding } from './overriding.ts'
import { timedProcess } from './timed-process.ts'
import type { TimedProcess } from './timed-process.ts'

type Event =
  | { type: 'SEND'; to: string; n: number }
  | { type: 'SEND_MANY'; to: string; count: number }
  | { type: 'RESERVED'; to: string }
  | { type: 'GET'; n: number }
  | { type: 'IGNORED' }
  | { type: 'BREAK' }
  | { type: 'PING'; from: string; me: string }
  | { type: 'END' }
  | Undelivered

/** Keeps all that it gets. */
const box = defineSession({
  name: 'box',
  version: 1,
  machine: setup({
    types: {} as { context: { got: number[]; pings: number; returned: Undelivered[] }; events: Event },
    actions: {
      send: sendToSession(
        ({ event }) => (event as { to: string }).to,
        ({ event }) => ({ type: 'GET', n: (event as { n: number }).n }),
      ),
    },
  }).createMachine({
    context: { got: [], pings: 0, returned: [] },
    initial: 'open',
    states: {
      open: {
        on: {
          SEND: { actions: 'send' },
          SEND_MANY: {
            actions: enqueueActions(({ enqueue, event }) => {
              for (let n = 0; n < event.count; n++) enqueue(sendToSession(event.to, { type: 'GET', n }))
            }),
          },
          RESERVED: { actions: sendToSession(({ event }) => event.to, { type: 'xstate.stop' }) },
          GET: { actions: assign({ got: ({ context, event }) => [...context.got, event.n] }) },
          BREAK: {
            actions: () => {
              throw new Error('never seen')
            },
          },
          PING: {
            actions: [
              assign({ pings: ({ context }) => context.pings + 1 }),
              sendToSession(
                ({ event }) => event.from,
                ({ event }) => ({ type: 'PING', from: event.me, me: event.from }),
              ),
            ],
          },
          END: 'closed',
          'troupe.undelivered': {
            actions: assign({ returned: ({ context, event }) => [...context.returned, event] }),
          },
        },
      },
      closed: { type: 'final' },
    },
  }),
})

/** Throws at whatever it gets. */
const brittle = defineSession({
  name: 'brittle',
  version: 1,
  machine: setup({ types: {} as { context: object; events: Event } }).createMachine({
    context: {},
    on: {
      GET: {
        actions: assign(() => {
          throw new Error('it broke')
        }),
      },
    },
  }),
})

const definitions = [box, brittle]
const cluster = new TestCluster()
const running: TimedProcess[] = []
let p: TestProcess
let q: TimedProcess

beforeAll(async () => {
  p = await cluster.process({ definitions })
  q = await timedProcess(cluster, definitions)
  running.push(q)
})
afterAll(async () => {
  for (const process of running) process.stop()
  await cluster.close()
})

let count = 0
async function created(host: TestProcess['host'], machine = 'box'): Promise<SessionId> {
  const { record } = await host.create({ machine, id: `${machine}-${count++}`, ttlMs: 600_000 }, NOBODY)
  return record.id
}

async function recordOf(id: SessionId): Promise<SessionRecord> {
  const record = await p.store.read(id)
  if (record === null) throw new Error(`there is no session ${id}`)
  return record
}

interface Box {
  readonly got: number[]
  readonly pings: number
  readonly returned: Undelivered[]
}

async function contextOf(id: SessionId): Promise<Box> {
  return (JSON.parse((await recordOf(id)).state) as PublicState).context as Box
}

async function mailLeft(id: SessionId): Promise<number> {
  return cluster.redis.xlen(cluster.keys.mail(partitionOf(id)))
}

/** A process whose store fails in the way that `members` says. */
function faulty(members: Partial<SessionStore>): Promise<TestProcess> {
  return cluster.process({ definitions, wrap: (store) => overriding(store, members) })
}

const dead = (): Promise<never> => new Promise(() => undefined)

describe('an event from one session to another', () => {
  it('TM6 is applied once, in the order in which it was sent, and leaves nothing behind', async () => {
    const [from, to] = [await created(p.host), await created(p.host)]
    for (let n = 1; n <= 20; n++)
      await (n % 2 === 0 ? p : q).host.update({ id: from, event: { type: 'SEND', to, n } }, NOBODY)
    await until(async () => (await contextOf(to)).got.length === 20)
    expect((await contextOf(to)).got).toEqual(Array.from({ length: 20 }, (_, index) => index + 1))
    await until(async () => (await mailLeft(from)) === 0)
  })

  it('TM6 many of one transition arrive in order', async () => {
    const [from, to] = [await created(p.host), await created(p.host)]
    await p.host.update({ id: from, event: { type: 'SEND_MANY', to, count: 300 } }, NOBODY)
    await until(async () => (await contextOf(to)).got.length === 300)
    expect((await contextOf(to)).got).toEqual(Array.from({ length: 300 }, (_, index) => index))
  })

  it('TM6 is delivered by another process if the one that committed dies first', async () => {
    const dying = await faulty({ mail: dead })
    const [from, to] = [await created(dying.host), await created(p.host)]
    await dying.host.update({ id: from, event: { type: 'SEND', to, n: 7 } }, NOBODY)
    await until(async () => (await contextOf(to)).got.length === 1, 10_000)
    await until(async () => (await mailLeft(from)) === 0)
  })

  it('TM6 is not applied again if the process that delivered it dies before it says so', async () => {
    let delivered = 0
    const dying = await faulty({
      deleteMail: () => {
        delivered++
        return dead()
      },
    })
    const [from, to] = [await created(dying.host), await created(p.host)]
    await dying.host.update({ id: from, event: { type: 'SEND', to, n: 7 } }, NOBODY)
    await until(() => delivered === 1)
    expect(await mailLeft(from)).toBe(1)
    await until(async () => (await mailLeft(from)) === 0, 10_000)
    expect((await contextOf(to)).got).toEqual([7])
  })

  it('TM6 waits for a receiver whose process cannot reach it, and what comes behind waits too', async () => {
    let isBroken = true
    const lame = await cluster.process({
      definitions,
      wrap: (store) =>
        overriding(store, {
          execute: (entries) =>
            isBroken && entries.some((entry) => entry.id === to) ? dead() : store.execute(entries),
        }),
    })
    const from = await created(p.host)
    const to = await created(p.host)
    await lame.host.update({ id: from, event: { type: 'SEND', to, n: 1 } }, NOBODY)
    await lame.host.update({ id: from, event: { type: 'SEND', to, n: 2 } }, NOBODY)
    await p.host.update({ id: from, event: { type: 'SEND', to, n: 3 } }, NOBODY)
    await until(async () => (await contextOf(to)).got.length === 3, 10_000)
    isBroken = false
    expect((await contextOf(to)).got).toEqual([1, 2, 3])
  })

  it('is a version of its own kind, which names its sender', async () => {
    const [from, to] = [await created(p.host), await created(p.host)]
    await p.host.update({ id: from, event: { type: 'SEND', to, n: 1 } }, NOBODY)
    await until(async () => (await contextOf(to)).got.length === 1)
    const rows = await cluster.redis.xrange(cluster.keys.outbox(partitionOf(to)), '-', '+')
    const [, fields] =
      rows.find(([, [, head]]) => head?.startsWith(`${to} `) && head.includes(' mail ')) ?? []
    expect(JSON.parse(fields?.[3] ?? '{}')).toMatchObject({ sender: from, event: { type: 'GET', n: 1 } })
  })

  it('that its receiver ignores makes no version', async () => {
    const [from, to] = [await created(p.host), await created(p.host, 'brittle')]
    const before = await recordOf(to)
    await p.host.update({ id: from, event: { type: 'PING', from: to, me: from } }, NOBODY)
    await until(async () => (await mailLeft(from)) === 0)
    expect((await recordOf(to)).version).toBe(before.version)
    expect((await contextOf(from)).returned).toEqual([])
  })

  it('to a session that is not there comes back', async () => {
    const from = await created(p.host)
    await p.host.update({ id: from, event: { type: 'SEND', to: 'nobody', n: 1 } }, NOBODY)
    await until(async () => (await contextOf(from)).returned.length === 1)
    expect((await contextOf(from)).returned).toMatchObject([
      { to: 'nobody', event: { type: 'GET', n: 1 }, reason: 'not_found' },
    ])
    await until(async () => (await mailLeft(from)) === 0)
  })

  it('to a session that has ended comes back', async () => {
    const [from, to] = [await created(p.host), await created(q.host)]
    await q.host.update({ id: to, event: { type: 'END' } }, NOBODY)
    await p.host.update({ id: from, event: { type: 'SEND', to, n: 1 } }, NOBODY)
    await until(async () => (await contextOf(from)).returned.length === 1)
    expect((await contextOf(from)).returned).toMatchObject([{ to, reason: 'session_ended' }])
  })

  it('that its receiver fails at comes back, and the receiver stays as it was', async () => {
    const [from, to] = [await created(p.host), await created(p.host, 'brittle')]
    const before = await recordOf(to)
    await p.host.update({ id: from, event: { type: 'SEND', to, n: 1 } }, NOBODY)
    await until(async () => (await contextOf(from)).returned.length === 1)
    const [returned] = (await contextOf(from)).returned
    expect(returned).toMatchObject({ to, reason: 'failed' })
    expect(returned?.message).toContain('it broke')
    expect((await recordOf(to)).version).toBe(before.version)
  })

  it('is not returned to another life of its sender', async () => {
    const dying = await faulty({ mail: dead })
    const from = await created(dying.host)
    await dying.host.update({ id: from, event: { type: 'SEND', to: 'nobody', n: 1 } }, NOBODY)
    await p.host.delete(from, NOBODY)
    await p.host.create({ machine: 'box', id: from }, NOBODY)
    await until(async () => (await mailLeft(from)) === 0, 10_000)
    expect((await contextOf(from)).returned).toEqual([])
  })

  it('TM6 is delivered by a process that knows its receiver, if the one that looks after the partition does not', async () => {
    const apart = new TestCluster()
    const ignorant = await timedProcess(apart, [])
    await sleepMs(1500)
    const knowing = await timedProcess(apart, definitions)
    const dying = await apart.process({ definitions, wrap: (store) => overriding(store, { mail: dead }) })
    try {
      const { record } = await dying.host.create({ machine: 'box', id: 'box' }, NOBODY)
      await dying.host.update({ id: record.id, event: { type: 'SEND', to: 'box', n: 1 } }, NOBODY)
      await until(async () => (await knowing.store.read(record.id))?.version === 3, 15_000)
    } finally {
      ignorant.stop()
      knowing.stop()
      await apart.close()
    }
  })

  it('can be sent to oneself', async () => {
    const from = await created(p.host)
    await p.host.update({ id: from, event: { type: 'SEND', to: from, n: 5 } }, NOBODY)
    await until(async () => (await contextOf(from)).got.length === 1)
  })

  it('does not go round for ever', async () => {
    const [a, b] = [await created(p.host), await created(p.host)]
    await p.host.update({ id: a, event: { type: 'PING', from: b, me: a } }, NOBODY)
    await until(
      async () => (await contextOf(a)).returned.length + (await contextOf(b)).returned.length === 1,
      20_000,
    )
    const [left, right] = [await contextOf(a), await contextOf(b)]
    expect(left.pings + right.pings).toBe(MAX_HOPS)
    expect([...left.returned, ...right.returned]).toMatchObject([{ reason: 'failed' }])
    expect([...left.returned, ...right.returned][0]?.message).toContain(`a chain of ${MAX_HOPS} events`)
    await sleepMs(50)
    expect((await contextOf(a)).pings + (await contextOf(b)).pings).toBe(MAX_HOPS)
  })

  it.each([
    [{ type: 'RESERVED', to: 'x' }, 'reserved'],
    [{ type: 'SEND', to: 'not an id', n: 1 }, 'is not a session id'],
    [{ type: 'SEND_MANY', to: 'x', count: 1001 }, 'more than 1000 events'],
  ])('that cannot be sent is an error, and nothing is committed: %j', async (event, message) => {
    const from = await created(p.host)
    await expect(p.host.update({ id: from, event }, NOBODY)).rejects.toThrow(message)
    expect((await recordOf(from)).version).toBe(1)
    expect(await mailLeft(from)).toBe(0)
  })

  it('of a kind that only the runtime sends is refused from outside', async () => {
    const to = await created(p.host)
    await expect(
      p.host.update({ id: to, event: { type: 'troupe.undelivered' } }, NOBODY),
    ).rejects.toMatchObject({ code: 'event_reserved' })
    expect((JSON.parse((await recordOf(to)).state) as PublicState).accepts).not.toContain(
      'troupe.undelivered',
    )
  })

  it('TM6 is remembered by its receiver for as long as it may come again, and no longer', async () => {
    let aheadMs = 0
    const { host } = await cluster.process({
      definitions,
      wrap: (store) => overriding(store, { now: () => store.now() + aheadMs }),
    })
    const hub = await created(host)
    const send = async (): Promise<void> => {
      const from = await created(host)
      await host.update({ id: from, event: { type: 'SEND', to: hub, n: 1 } }, NOBODY)
      await until(async () => (await mailLeft(from)) === 0)
    }
    const remembered = async (): Promise<number> => {
      const { taken } = JSON.parse((await recordOf(hub)).internals) as { taken: object }
      return Object.keys(taken).length
    }
    for (let n = 0; n < 10; n++) await send()
    expect(await remembered()).toBe(10)
    aheadMs = 60_000
    await send()
    // This one, and the one before, which has heard only now that its entry is gone.
    expect(await remembered()).toBe(2)
  })

  it('TM6 that was read before another process delivered it is not applied again', async () => {
    let go: () => void = () => undefined
    let isHeld = true
    const held = new Promise<void>((resolve) => (go = resolve))
    let read = 0
    let aheadMs = 0
    const slow = await cluster.process({
      definitions,
      clock: { ...systemClock, now: () => systemClock.now() + aheadMs },
      wrap: (store) =>
        overriding(store, {
          mail: async (...args) => {
            const entries = await store.mail(...args)
            read += entries.length
            if (isHeld) await held
            return entries
          },
        }),
    })
    const [from, to] = [await created(slow.host), await created(p.host)]
    await slow.host.update({ id: from, event: { type: 'SEND', to, n: 1 } }, NOBODY)
    await until(() => read === 1)
    await until(async () => (await mailLeft(from)) === 0, 10_000)
    // Its receiver has forgotten it, as it may after a while.
    const forgotten = await created(p.host)
    await p.host.update({ id: forgotten, event: { type: 'SEND', to, n: 2 } }, NOBODY)
    await until(async () => (await contextOf(to)).got.length === 2)
    const raw = (await cluster.redis.get(cluster.keys.session(to))) ?? ''
    await cluster.redis.set(cluster.keys.session(to), raw.replace(/"taken":\{.*\}\}$/, '"taken":{}}'))
    aheadMs = 60_000
    isHeld = false
    go()
    await sleepMs(100)
    expect((await contextOf(to)).got).toEqual([1, 2])
  })
})
