/** What a host does while no writes are taken because PostgreSQL is behind. */
import { assign, fromPromise, setup } from 'xstate'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import { sendToSession } from '../../actors/mail.ts'
import { NOBODY, sid, sleepMs, TestCluster, until } from '../support/hosts.ts'
import { timedProcess } from './timed-process.ts'
import type { TimedProcess } from './timed-process.ts'

type Event = { type: 'ADD' } | { type: 'ARM' } | { type: 'SEND'; to: string } | { type: 'WORK' }

const busy = defineSession({
  name: 'busy',
  version: 1,
  machine: setup({
    types: {} as { context: { n: number }; events: Event },
    actors: { work: fromPromise(() => sleepMs(150)) },
  }).createMachine({
    context: { n: 0 },
    initial: 'on',
    on: { ADD: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
    states: {
      on: {
        on: {
          ARM: 'armed',
          WORK: 'working',
          SEND: { actions: sendToSession(({ event }) => event.to, { type: 'ADD' }) },
        },
      },
      armed: { after: { 200: 'fired' } },
      fired: {},
      working: { invoke: { src: 'work', onDone: 'done' } },
      done: {},
    },
  }),
})

let cluster: TestCluster
let p: TimedProcess
let refusal: string | null
/** It holds from the commit after this many of the process. */
let refusedAfter: number

beforeEach(async () => {
  refusal = null
  refusedAfter = -1
  cluster = new TestCluster()
  p = await timedProcess(cluster, [busy], {
    refusal: () => (p.committed.length > refusedAfter ? refusal : null),
  })
})
afterEach(async () => {
  p.stop()
  await cluster.close()
})

const create = (id: string) => p.host.create({ machine: 'busy', id }, NOBODY)
const update = (id: string, event: Event, key?: string) =>
  p.host.update({ id: sid(id), event, ...(key === undefined ? {} : { key }) }, NOBODY)
const stateOf = async (id: string) =>
  JSON.parse((await p.host.get(sid(id)))?.state ?? '{}') as { value: unknown; context: { n: number } }

it('CM3 CM5 AU3 clients are told unavailable and why, and what needs no writing goes on', async () => {
  await create('a')
  await update('a', { type: 'ADD' }, 'first')
  const before = await cluster.redis.get(cluster.keys.session(sid('a')))
  refusal = 'PostgreSQL is behind'
  const refused = {
    code: 'unavailable',
    retryable: true,
    message: expect.stringContaining(refusal) as unknown,
  }
  await expect(update('a', { type: 'ADD' })).rejects.toMatchObject(refused)
  await expect(create('b')).rejects.toMatchObject(refused)
  await expect(p.host.delete(sid('a'), NOBODY)).rejects.toMatchObject(refused)
  // A key is answered as what it is: it was applied, and to say that it surely was not would be untrue.
  expect(await update('a', { type: 'ADD' }, 'first')).toMatchObject({ outcome: 'duplicate', applied: 2 })
  expect(await create('a').catch((error: unknown) => error)).toMatchObject({ code: 'session_exists' })
  expect(await update('nobody', { type: 'ADD' }).catch((error: unknown) => error)).toMatchObject({
    code: 'not_found',
  })
  expect(await p.host.delete(sid('nobody'), NOBODY)).toBe(false)
  expect(await p.host.get(sid('a'))).toMatchObject({ version: 2 })
  expect(await cluster.redis.get(cluster.keys.session(sid('a')))).toBe(before)
  refusal = null
  expect(await update('a', { type: 'ADD' })).toMatchObject({ outcome: 'committed', applied: 3 })
})

it('TM1 TM2 a timer that comes due meanwhile waits, and fires once afterwards', async () => {
  await create('timed')
  await update('timed', { type: 'ARM' })
  refusal = 'PostgreSQL is behind'
  await sleepMs(1500)
  expect(await stateOf('timed')).toMatchObject({ value: 'armed' })
  refusal = null
  await until(async () => (await stateOf('timed')).value === 'fired')
  expect(await p.host.get(sid('timed'))).toMatchObject({ version: 3 })
})

it('TM6 mail waits meanwhile, and is applied once afterwards', async () => {
  await create('from')
  await create('to')
  refusedAfter = p.committed.length
  refusal = 'PostgreSQL is behind'
  await update('from', { type: 'SEND', to: 'to' })
  await sleepMs(500)
  const { n } = (await stateOf('to')).context
  refusal = null
  await until(async () => (await stateOf('to')).context.n === 1, 10_000)
  await sleepMs(200)
  expect([n, (await stateOf('to')).context.n]).toEqual([0, 1])
})

it('TM4 what a promise came to waits meanwhile, and is committed once afterwards', async () => {
  await create('working')
  await update('working', { type: 'WORK' })
  refusal = 'PostgreSQL is behind'
  await sleepMs(800)
  expect(await stateOf('working')).toMatchObject({ value: 'working' })
  refusal = null
  await until(async () => (await stateOf('working')).value === 'done')
  expect(await p.host.get(sid('working'))).toMatchObject({ version: 3 })
})
