/** Several versions of a definition on several processes that share a Redis, as in a deployment that replaces them one by one. */
import { assign, fromPromise, setup } from 'xstate'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import type { MigratedSession, StoredSession } from '../../actors/define-session.ts'
import { partitionOf } from '../../actors/partitions.ts'
import { StoreFailure } from '../../actors/ports.ts'
import { TroupeError } from '../../actors/errors.ts'
import type { SessionId } from '../../actors/session.ts'
import type { SessionView } from '../../actors/view.ts'
import { NOBODY, TestCluster, sid, until } from '../support/hosts.ts'
import type { TestProcess } from '../support/hosts.ts'
import { hurried } from '../support/hurried-clock.ts'
import { overriding } from './overriding.ts'

let finish: (output: string) => void = () => undefined
const types = {
  context: {} as { cents?: number; euros?: number; by?: string; paid?: string },
  events: {} as { type: 'ADD' } | { type: 'PAY' } | { type: 'END' },
}
const actors = { pay: fromPromise<string>(() => new Promise((resolve) => (finish = resolve))) }

const first = defineSession({
  name: 'order',
  version: 1,
  machine: setup({ types, actors }).createMachine({
    id: 'order',
    context: { cents: 0 },
    initial: 'open',
    states: {
      open: {
        on: {
          ADD: { actions: assign({ cents: ({ context }) => (context.cents ?? 0) + 100 }) },
          PAY: 'paying',
          END: 'end',
        },
        after: { 60_000: 'end' },
      },
      paying: { invoke: { id: 'pay', src: 'pay' } },
      end: { type: 'final' },
    },
  }),
})

const toEuros = ({ value, context }: StoredSession): MigratedSession => {
  if (context['cents'] === 300) throw new Error('three euros cannot be migrated')
  return {
    value: value === 'open' ? 'basket' : value,
    context: { euros: (context['cents'] as number) / 100 },
  }
}

function second(migrate: typeof toEuros | null = toEuros, version = 2) {
  return defineSession({
    name: 'order',
    version,
    ...(migrate === null ? {} : { migrate: migrate as never }),
    machine: setup({ types, actors }).createMachine({
      id: 'order',
      context: { euros: 0 },
      initial: 'basket',
      states: {
        basket: {
          on: {
            ADD: { actions: assign({ euros: ({ context }) => (context.euros ?? 0) + 1 }) },
            PAY: 'paying',
          },
          after: { 30: { actions: assign({ by: 'timer' }) } },
        },
        paying: {
          invoke: {
            id: 'pay',
            src: 'pay',
            onDone: { target: 'paid', actions: assign({ paid: ({ event }) => event.output }) },
          },
        },
        paid: { tags: 'paid' },
        end: { type: 'final' },
      },
    }),
  })
}

let cluster: TestCluster
let old: TestProcess
let id: SessionId
let count = 0

/** A process of the old version, and a session that it has made. */
beforeEach(async () => {
  // Processes of other tests would be asked what they know.
  cluster = new TestCluster()
  old = await cluster.process({ definitions: [first], clock: hurried })
  id = sid(`order-${++count}`)
  await create(old)
})

afterEach(() => cluster.close())

async function create(process: TestProcess, ofId = id): Promise<void> {
  await process.host.create({ machine: 'order', id: ofId }, NOBODY)
}

function add(process: TestProcess, ofId = id) {
  return process.host.update({ id: ofId, event: { type: 'ADD' } }, NOBODY)
}

async function view(process: TestProcess, ofId = id): Promise<SessionView> {
  const record = await process.host.get(ofId)
  if (record === null) throw new Error('it is there')
  return JSON.parse(process.host.encodeView(record, null)) as SessionView
}

function stored(): Promise<string | null> {
  return cluster.redis.get(cluster.keys.session(id))
}

/** Kinds of the session's rows, with the version of the definition. */
async function rows(): Promise<string[]> {
  const entries = await cluster.redis.xrange(cluster.keys.outbox(partitionOf(id)), '-', '+')
  return entries.flatMap(([, [, head = '', , audit = '{}']]) => {
    const [ofId, , version, , , kind] = head.split(' ')
    const { machineVersion } = JSON.parse(audit) as { machineVersion: number }
    return ofId === id ? [`${version} ${kind} v${machineVersion}`] : []
  })
}

async function failure(act: Promise<unknown>): Promise<TroupeError> {
  return act.then(
    () => expect.unreachable('it failed'),
    (error: unknown) => {
      if (error instanceof TroupeError) return error
      throw error
    },
  )
}

/** Asks until it does not fail for its version any more. */
async function onceMigrated<R>(act: () => Promise<R>): Promise<R> {
  for (;;) {
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof TroupeError && error.code === 'unknown_machine_version')) throw error
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}

describe('a version without migrate', () => {
  it('MG3 stands beside the others: sessions keep theirs, new ones get the newest', async () => {
    const both = await cluster.process({ definitions: [first, second(null)] })
    await add(both)
    expect((await view(both)).context).toEqual({ cents: 100 })
    const other = sid(`${id}-new`)
    await create(both, other)
    expect((await view(both, other)).context).toEqual({ euros: 0 })
    expect(await rows()).toEqual(['1 created v1', '2 event v1'])
  })
})

describe('a version with migrate', () => {
  it('MG2 takes a session over by the first event after every process knows it, as a version of its own', async () => {
    await add(old)
    const both = await cluster.process({ definitions: [first, second()], clock: hurried })
    const { record } = await add(both)
    expect(record).toMatchObject({ version: 3, machineVersion: 1 })
    await old.host.drain(1000)
    await until(async () => (await add(both)).record.machineVersion === 2)
    const kinds = (await rows()).map((row) => row.slice(row.indexOf(' ') + 1))
    const events = kinds.filter((kind) => kind === 'event v1').length
    expect(kinds).toEqual([
      'created v1',
      ...Array<string>(events).fill('event v1'),
      'migrated v2',
      'event v2',
    ])
    expect((await view(both)).context).toEqual({ euros: events + 1 })
    expect(both.published.map(({ message }) => (message.kind === 'updated' ? message.events : ''))).toContain(
      '["troupe.migrated"]',
    )
  })

  it('may be waited for before it has taken the session over', async () => {
    const both = await cluster.process({ definitions: [first, second()] })
    const record = await both.host.get(id)
    if (record === null) throw new Error('it is there')
    expect(both.host.stateOf(record).value).toBe('open')
    for (const until of [{ value: 'basket' }, { value: 'open' }, { tag: 'paid' }])
      expect(() => both.host.checkUntil(record, until)).not.toThrow()
    expect(() => both.host.checkUntil(record, { value: 'baskt' })).toThrow('there is no state "baskt"')
    expect(() => old.host.checkUntil(record, { value: 'basket' })).toThrow('there is no state "basket"')
  })

  it('MG2 a process that has gone without a word holds it up for 15 s only; one that serves other definitions does not', async () => {
    await cluster.process({ definitions: [defineSession({ ...first, name: 'other' })] })
    const both = await cluster.process({ definitions: [first, second()], clock: hurried })
    expect((await add(both)).record.machineVersion).toBe(1)
    // As if it had not been heard of for that long.
    const [at = '', ...served] = ((await cluster.redis.hget(cluster.keys.processes, old.node)) ?? '').split(
      ' ',
    )
    await old.host.drain(0)
    await cluster.redis.hset(cluster.keys.processes, old.node, `${Number(at) - 15_001} ${served.join(' ')}`)
    await until(async () => (await add(both)).record.machineVersion === 2)
    expect(await cluster.redis.hexists(cluster.keys.processes, old.node)).toBe(0)
  })

  it('MG2 its timers start and fire: a timer of the old version does not keep it from being migrated', async () => {
    await old.host.drain(0)
    const both = await cluster.process({ definitions: [first, second()] })
    await add(both)
    expect(both.armed.at(-1)?.timers).toMatch(/^;\d+:\d+$/)
    await until(async () => {
      await both.host.fire(id)
      return (await rows()).includes('4 timer v2')
    })
    expect((await view(both)).context).toEqual({ euros: 1, by: 'timer' })
  })

  it('MG2 a timer, a result or a message migrates it like an event', async () => {
    await old.host.update({ id, event: { type: 'PAY' } }, NOBODY)
    await old.host.drain(1000)
    const both = await cluster.process({ definitions: [first, second()] })
    await both.host.takeOver(id, old.node)
    await until(async () => (await rows()).length === 4)
    finish('cash')
    await until(async () => (await view(both)).tags.includes('paid'))
    expect((await view(both)).context).toEqual({ euros: 0, paid: 'cash' })
    expect((await rows()).slice(2)).toEqual(['3 migrated v2', '4 takeover v2', '5 result v2'])
  })

  it('MG2 reading shows what it would be, and writes nothing', async () => {
    await add(old)
    const before = await stored()
    const alone = await cluster.process({ definitions: [second()], clock: hurried })
    expect(await view(alone)).toMatchObject({
      version: 2,
      value: 'basket',
      context: { euros: 1 },
      accepts: ['ADD', 'PAY'],
    })
    const record = await alone.host.get(id)
    expect(record && alone.host.stateOf(record).value).toBe('basket')
    expect(await stored()).toBe(before)
    const error = await failure(add(alone))
    expect(error).toMatchObject({ code: 'unknown_machine_version', retryable: true })
    expect(error.message).toContain('another process serves it: connect again')
    expect(await stored()).toBe(before)
    await old.host.drain(0)
    expect((await onceMigrated(() => add(alone))).record).toMatchObject({ version: 4, machineVersion: 2 })
  })

  it('MG2 a session that has ended stays as it ended, and can be read', async () => {
    await old.host.update({ id, event: { type: 'END' } }, NOBODY)
    await old.host.drain(0)
    const before = await stored()
    const alone = await cluster.process({ definitions: [second()] })
    expect(await view(alone)).toMatchObject({ status: 'done', context: { euros: 0 } })
    expect(await failure(add(alone))).toMatchObject({ code: 'session_ended' })
    expect(await stored()).toBe(before)
  })

  it('MG3 what cannot be migrated stays as it is, and its sender hears why; others are not concerned', async () => {
    for (let n = 0; n < 3; n++) await add(old)
    await old.host.drain(0)
    const before = await stored()
    const both = await cluster.process({ definitions: [first, second()] })
    const error = await failure(add(both))
    expect(error.code).toBe('internal')
    expect(error.message).toBe(
      'machine "order" (version 2) failed while migrating a session of version 1 in state "open": three euros cannot be migrated',
    )
    await expect(both.host.fire(id)).rejects.toThrow('three euros')
    await expect(view(both)).rejects.toThrow('three euros')
    expect(await stored()).toBe(before)
    expect(await both.host.delete(id, NOBODY)).toBe(true)
  })

  it('MG2 a migration whose reply is lost is made once; keys from before it are known after it', async () => {
    await old.host.update({ id, event: { type: 'ADD' }, key: 'k' }, NOBODY)
    await old.host.drain(0)
    let isLost = false
    const both = await cluster.process({
      definitions: [first, second(toEuros, 3)],
      wrap: (store) =>
        overriding(store, {
          async execute(entries) {
            const outcomes = await store.execute(entries)
            if (isLost || !entries.some(({ kind }) => kind === 'commit')) return outcomes
            isLost = true
            throw new StoreFailure('unknown', 'the reply was lost')
          },
        }),
    })
    const again = await both.host.update({ id, event: { type: 'ADD' }, key: 'k' }, NOBODY)
    expect(again).toMatchObject({ outcome: 'duplicate', applied: 2 })
    expect((await add(both)).record).toMatchObject({ version: 4, machineVersion: 3 })
    expect(isLost).toBe(true)
    expect(await rows()).toEqual(['1 created v1', '2 event v1', '3 migrated v3', '4 event v3'])
  })

  it('MG2 many events at once migrate it once', async () => {
    await old.host.drain(0)
    const [p, q] = [
      await cluster.process({ definitions: [first, second()] }),
      await cluster.process({ definitions: [first, second()] }),
    ]
    await Promise.all(Array.from({ length: 40 }, (_, n) => add(n % 2 === 0 ? p : q)))
    expect((await view(p)).context).toEqual({ euros: 40 })
    expect((await rows()).filter((row) => row.includes('migrated'))).toEqual(['2 migrated v2'])
  })
})

describe('a process that does not know the newest version', () => {
  it('MG3 cannot overwrite it, tells its client to go, and leaves the session as it is', async () => {
    await add(old)
    // It announces itself when it is proven that the old one is told of it: by then the session is of the new version.
    const both = await cluster.process({ definitions: [first, second()], clock: hurried })
    await cluster.redis.hdel(cluster.keys.processes, old.node)
    await until(async () => {
      await cluster.redis.hdel(cluster.keys.processes, old.node)
      return (await add(both)).record.machineVersion === 2
    })
    const before = await stored()
    let error = await failure(add(old))
    expect(error.code).toBe('unknown_machine_version')
    await until(async () => {
      error = await failure(add(old))
      return error.details['elsewhere'] === true
    })
    await expect(view(old)).rejects.toMatchObject({ details: { elsewhere: true } })
    await until(() =>
      old.host.fire(id).then(
        () => false,
        (thrown: unknown) => (thrown as TroupeError).code === 'unknown_machine_version',
      ),
    )
    expect(await stored()).toBe(before)
  })

  it('MG3 one that knows it, and was not told of the migration, goes on from what it has become', async () => {
    await old.host.drain(0)
    const [p, q] = [
      await cluster.process({ definitions: [first, second()] }),
      await cluster.process({ definitions: [first, second()], clock: hurried }),
    ]
    await cluster.redis.hset(cluster.keys.processes, 'aaa', `${Date.now()} {"order":[1]}`)
    const late = await cluster.process({ definitions: [first, second()], clock: hurried })
    // It holds the session as one of version 1.
    expect((await add(late)).record.machineVersion).toBe(1)
    expect((await add(p)).record.machineVersion).toBe(2)
    expect((await add(late)).record).toMatchObject({ machineVersion: 2 })
    expect((await view(q)).context).toEqual({ euros: 3 })
  })

  it('MG3 a version that nobody knows is a clear error, and nothing of the session is changed', async () => {
    await old.host.drain(0)
    const other = await cluster.process({ definitions: [second(null)] })
    const before = await stored()
    const error = await failure(add(other))
    expect(error).toMatchObject({ code: 'unknown_machine_version', details: {} })
    expect(error.message).toBe(
      'the session belongs to "order" version 1, which is not served here; version 2 is, but has no `migrate`: ' +
        'give it one, or serve version 1 beside it',
    )
    await expect(view(other)).rejects.toThrow('which is not served here')
    expect(await stored()).toBe(before)
    expect(await rows()).toEqual(['1 created v1'])
  })
})
