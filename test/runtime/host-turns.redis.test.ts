import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { UpdateRequest } from '../../actors/ports.ts'
import type { SessionId } from '../../actors/session.ts'
import { tracesOf } from '../persistence/store-support.ts'
import { callerNamed, NOBODY, sid, TestCluster, until } from '../support/hosts.ts'
import type { TestProcess } from '../support/hosts.ts'
import { Gate } from './host-gate.ts'
import { contextIn, counterSession, strictSession } from './host-machines.ts'

let cluster: TestCluster
let gate: Gate
let p: TestProcess

beforeAll(async () => {
  cluster = new TestCluster()
  gate = new Gate()
  p = await cluster.process({
    definitions: [counterSession(), strictSession],
    wrap: gate.wrap,
    maxSessionBytes: 5000,
    maxEventBytes: 1000,
  })
})
afterAll(() => cluster.close())

async function counter(n = 0): Promise<SessionId> {
  return (await p.host.create({ machine: 'counter', input: { n } }, NOBODY)).record.id
}

function send(request: Omit<UpdateRequest, 'event'> & { event: { type: string; [name: string]: unknown } }) {
  return p.host.update(request, NOBODY)
}

describe('events that wait for one session', () => {
  it('are committed together as consecutive versions, each caller told its own', async () => {
    const id = await counter()
    gate.calls.length = 0
    p.published.length = 0
    const results = await Promise.all(Array.from({ length: 150 }, () => send({ id, event: { type: 'ADD' } })))
    expect(results.map(({ applied }) => applied)).toEqual(Array.from({ length: 150 }, (_, n) => n + 2))
    expect(results.every(({ outcome }) => outcome === 'committed')).toBe(true)
    // The first goes alone, then what waits, 64 at a time.
    expect(gate.commits.length).toBeLessThanOrEqual(4)
    expect(contextIn((await p.host.get(id)) ?? { state: '' }).n).toBe(150)
    const { rows } = await tracesOf(cluster, id)
    expect(rows.map(({ v }) => Number(v))).toEqual(Array.from({ length: 151 }, (_, n) => n + 1))
    expect(p.published).toHaveLength(gate.commits.length)
  })

  it('of many sessions go in few calls', async () => {
    const ids = await Promise.all(Array.from({ length: 100 }, () => counter()))
    gate.calls.length = 0
    await Promise.all(ids.map((id) => send({ id, event: { type: 'ADD' } })))
    expect(gate.calls.length).toBeLessThanOrEqual(3)
  })

  it('of a large session: a commit carries a few of them, and all are applied in order', async () => {
    const door = new Gate()
    const large = await cluster.process({ definitions: [counterSession()], wrap: door.wrap })
    const { record } = await large.host.create({ machine: 'counter' }, NOBODY)
    await large.host.update({ id: record.id, event: { type: 'FILL', size: 100_000 } }, NOBODY)
    door.calls.length = 0
    const results = await Promise.all(
      Array.from({ length: 31 }, () => large.host.update({ id: record.id, event: { type: 'ADD' } }, NOBODY)),
    )
    expect(results.map(({ applied }) => applied)).toEqual(Array.from({ length: 31 }, (_, n) => n + 3))
    // One alone, then three times 100 kB and a little in each.
    expect(door.commits.length).toBe(11)
  })

  it('a refused one in the middle keeps none of the others back', async () => {
    const id = await counter(1)
    const results = await Promise.allSettled([
      send({ id, event: { type: 'ADD' } }),
      send({ id, event: { type: 'ADD' } }),
      send({ id, event: { type: 'xstate.stop' } }),
      send({ id, event: { type: 'BREAK' } }),
      send({ id, event: { type: 'TAKE', by: 99 } }),
      send({ id, event: { type: 'TELL' } }),
      send({ id, event: { type: 'FILL', size: 6000 } }),
      send({ id, event: { type: 'STOP' } }),
      send({ id, event: { type: 'ADD' } }),
    ])
    expect(
      results.map((one) =>
        one.status === 'fulfilled' ? (one.value.applied ?? one.value.outcome) : codeOf(one.reason),
      ),
    ).toEqual([2, 3, 'event_reserved', 'internal', 'unchanged', 4, 'too_large', 5, 'session_ended'])
    expect((await tracesOf(cluster, id)).rows).toHaveLength(5)
  })

  it('ifVersion counts the events before it in the batch', async () => {
    const id = await counter()
    const { epoch } = (await p.host.get(id)) ?? { epoch: '' }
    const results = await Promise.allSettled([
      send({ id, event: { type: 'ADD' } }),
      send({ id, event: { type: 'ADD' }, ifVersion: 2 }),
      send({ id, event: { type: 'ADD' }, ifVersion: 2 }),
      send({ id, event: { type: 'ADD' }, ifVersion: { epoch, version: 3 } }),
      send({ id, event: { type: 'ADD' }, ifVersion: { epoch: '1', version: 4 } }),
    ])
    expect(
      results.map((one) => (one.status === 'fulfilled' ? one.value.applied : codeOf(one.reason))),
    ).toEqual([2, 3, 'version_conflict', 4, 'version_conflict'])
    const third = results[2]
    expect(third?.status === 'rejected' && (third.reason as { details: object }).details).toEqual({
      epoch,
      version: 3,
    })
  })

  it('take effect in the order sent, whatever they are', async () => {
    const id = sid(`order-${randomUUID()}`)
    const create = { machine: 'counter', id }
    const results = await Promise.allSettled([
      send({ id, event: { type: 'ADD' } }),
      p.host.create(create, NOBODY),
      send({ id, event: { type: 'ADD' } }),
      send({ id, event: { type: 'ADD' } }),
      p.host.create(create, NOBODY),
      p.host.create({ ...create, ifExists: 'return' }, NOBODY),
      p.host.delete(id, NOBODY),
      send({ id, event: { type: 'ADD' } }),
      p.host.delete(id, NOBODY),
      p.host.create(create, NOBODY),
    ])
    expect(
      results.map((one) => (one.status === 'fulfilled' ? short(one.value) : codeOf(one.reason))),
    ).toEqual([
      'not_found',
      'created at 1',
      'committed at 2',
      'committed at 3',
      'session_exists',
      'found at 3',
      true,
      'not_found',
      false,
      'created at 1',
    ])
  })

  it('a caller that has been answered sees its update in a read', async () => {
    const id = await counter()
    for (let n = 1; n <= 20; n++) {
      await send({ id, event: { type: 'ADD' } })
      expect(contextIn((await p.host.get(id)) ?? { state: '' }).n).toBe(n)
    }
  })

  it('too many for one session are refused at once, surely not applied', async () => {
    const id = await counter()
    gate.shut()
    const results = Promise.allSettled(
      Array.from({ length: 1100 }, () => send({ id, event: { type: 'ADD' } })),
    )
    await until(() => gate.waiting > 0)
    gate.open()
    const refused = (await results).filter(({ status }) => status === 'rejected')
    expect(refused.length).toBeGreaterThan(50)
    expect(new Set(refused.map((one) => codeOf((one as PromiseRejectedResult).reason)))).toEqual(
      new Set(['contention']),
    )
    expect(contextIn((await p.host.get(id)) ?? { state: '' }).n).toBe(1100 - refused.length)
  })
})

describe('what a host publishes', () => {
  it('the commit with its emitted events, and the connections that are answered', async () => {
    const id = await counter()
    p.published.length = 0
    const [origin, another] = [{}, {}]
    await Promise.all([
      p.host.update({ id, event: { type: 'ADD' } }, { principal: null, origin }),
      p.host.update({ id, event: { type: 'TELL' } }, { principal: null, origin: another }),
      p.host.update({ id, event: { type: 'TELL' } }, { principal: null, origin }),
    ])
    const messages = p.published.map(({ message }) => message)
    expect(messages.map((message) => message.kind === 'updated' && message.baseVersion)).toEqual([1, 2])
    expect(messages[1]).toMatchObject({
      node: p.node,
      record: { version: 4 },
      events: '["TELL","TELL"]',
      emitted: [
        { version: 3, event: '{"type":"told","n":1}' },
        { version: 4, event: '{"type":"told","n":1}' },
      ],
    })
    expect(p.published[1]?.origins).toEqual(new Set([another, origin]))
  })

  it('the end of a deleted session', async () => {
    const id = await counter()
    p.published.length = p.committed.length = 0
    await p.host.delete(id, NOBODY)
    expect(p.published.map(({ message }) => message)).toMatchObject([
      { kind: 'ended', id, position: { version: 2 }, reason: 'deleted' },
    ])
    expect(p.committed).toEqual([id])
  })

  it('who did it stands in the audit of each transition', async () => {
    const ann = callerNamed('ann')
    const { record } = await p.host.create({ machine: 'strict', input: { owner: 'x' }, key: 'mine' }, ann)
    await p.host.update({ id: record.id, event: { type: 'PUT', item: { sku: 'a' } }, key: 'k' }, ann)
    const other = await cluster.process({ definitions: [strictSession] })
    await other.host.delete(record.id, callerNamed('bob'))
    const { rows } = await tracesOf(cluster, record.id)
    const about = { machine: 'strict', machineVersion: 1, node: p.node, principal: 'ann' }
    expect(rows.map(({ m }) => JSON.parse(m ?? '') as unknown)).toEqual([
      { ...about, key: 'mine', input: { owner: 'x' } },
      {
        ...about,
        key: 'k',
        event: { type: 'PUT', item: { sku: 'a', count: 1 } },
        from: expect.anything() as unknown,
      },
      { ...about, node: other.node, principal: 'bob' },
    ])
  })
})

describe('what does not fit', () => {
  it('an event against the schema: the path of each issue, and nothing happens', async () => {
    const { record } = await p.host.create({ machine: 'strict', input: { owner: 'x' } }, NOBODY)
    const refused = send({ id: record.id, event: { type: 'PUT', item: { sku: 5, count: 1.5 } } })
    await expect(refused).rejects.toMatchObject({
      code: 'event_invalid',
      message: expect.stringMatching(/event\.item\.sku: .*; event\.item\.count: /) as string,
      details: { issues: [{ path: ['item', 'sku'] }, { path: ['item', 'count'] }] },
    })
    expect(await p.host.get(record.id)).toEqual(record)
  })

  it('an input against the schema', async () => {
    const refused = p.host.create({ machine: 'strict', input: { owner: 1 } }, NOBODY)
    await expect(refused).rejects.toMatchObject({ code: 'event_invalid', message: /^input\.owner: / })
    const missing = p.host.create({ machine: 'strict' }, NOBODY)
    await expect(missing).rejects.toMatchObject({ code: 'event_invalid' })
  })

  it.each([
    '*',
    'xstate.stop',
    'xstate.done.actor.x',
    'xstate.error.actor.x',
    '@xstate.snapshot',
    'xstate.init',
  ])('an event of the machine’s own kind from outside: %s', async (type) => {
    const id = await counter()
    await expect(send({ id, event: { type } })).rejects.toMatchObject({ code: 'event_reserved' })
    expect(await p.host.get(id)).toMatchObject({ version: 1 })
  })

  it('too large: an event, an input, a message, and what a session would become', async () => {
    const id = await counter()
    const text = 'x'.repeat(1001)
    const tooLarge = { code: 'too_large' }
    await expect(send({ id, event: { type: 'ADD', text } })).rejects.toMatchObject(tooLarge)
    await expect(p.host.create({ machine: 'counter', input: { text } }, NOBODY)).rejects.toMatchObject(
      tooLarge,
    )
    await expect(p.host.broadcast(id, text)).rejects.toMatchObject(tooLarge)
    await expect(send({ id, event: { type: 'FILL', size: 5001 } })).rejects.toMatchObject(tooLarge)
    expect(await send({ id, event: { type: 'FILL', size: 4000 } })).toMatchObject({ applied: 2 })
    const small = await cluster.process({ definitions: [counterSession()], maxSessionBytes: 50 })
    await expect(small.host.create({ machine: 'counter' }, NOBODY)).rejects.toMatchObject(tooLarge)
  })

  it('an unknown machine, an id that is none, a message that JSON cannot hold', async () => {
    await expect(p.host.create({ machine: 'nope' }, NOBODY)).rejects.toMatchObject({
      code: 'unknown_machine',
      message: expect.stringContaining('counter') as string,
    })
    for (const id of ['', ' a', 'a b', '-a', 'a\n', 'ä', 'x'.repeat(129)])
      await expect(p.host.create({ machine: 'counter', id }, NOBODY)).rejects.toMatchObject({
        code: 'invalid_params',
      })
    const cycle: { type: string; self?: unknown } = { type: 'ADD' }
    cycle.self = cycle
    const id = await counter()
    for (const refused of [
      p.host.broadcast(id, undefined),
      p.host.broadcast(id, cycle),
      p.host.create({ machine: 'counter', input: { n: 1n } }, NOBODY),
      send({ id, event: cycle }),
      send({ id, event: { type: 'ADD', by: 1n } }),
      send({ id, event: { type: 'ADD', deep: nested(50_000) } }),
    ])
      await expect(refused).rejects.toMatchObject({ code: 'event_invalid' })
    expect(await p.host.get(id)).toMatchObject({ version: 1 })
  })

  it('a session of a definition version that is not served here is left alone', async () => {
    const newer = await cluster.process({ definitions: [counterSession(undefined, 2)] })
    const { record } = await newer.host.create({ machine: 'counter' }, NOBODY)
    const refused = send({ id: record.id, event: { type: 'ADD' } })
    await expect(refused).rejects.toMatchObject({ code: 'unknown_machine_version', retryable: true })
    expect(await newer.host.get(record.id)).toEqual(record)
  })

  it('a create of an id that another machine has', async () => {
    const id = await counter()
    const wrong = p.host.create({ machine: 'strict', id, input: { owner: 'x' }, ifExists: 'return' }, NOBODY)
    await expect(wrong).rejects.toMatchObject({ code: 'session_exists', message: /as a "counter"/ })
  })
})

describe('LC2 a drain', () => {
  it('LC2 finishes what was accepted and refuses what comes later', async () => {
    const door = new Gate()
    const leaving = await cluster.process({ definitions: [counterSession()], wrap: door.wrap })
    const { record } = await leaving.host.create({ machine: 'counter' }, NOBODY)
    door.shut()
    const accepted = Array.from({ length: 10 }, () =>
      leaving.host.update({ id: record.id, event: { type: 'ADD' } }, NOBODY),
    )
    await until(() => door.waiting === 1)
    const drained = leaving.host.drain(5000)
    const late = [
      leaving.host.update({ id: record.id, event: { type: 'ADD' } }, NOBODY),
      leaving.host.create({ machine: 'counter' }, NOBODY),
      leaving.host.delete(record.id, NOBODY),
      leaving.host.broadcast(record.id, 1),
    ]
    for (const one of late) await expect(one).rejects.toMatchObject({ code: 'draining', retryable: true })
    door.open()
    expect(await drained).toBe(0)
    expect((await Promise.all(accepted)).map(({ applied }) => applied)).toEqual([
      2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    ])
  })

  it('LC2 ends at its deadline and says how much was left', async () => {
    const door = new Gate()
    const leaving = await cluster.process({ definitions: [counterSession()], wrap: door.wrap })
    const { record } = await leaving.host.create({ machine: 'counter' }, NOBODY)
    door.shut()
    const update = leaving.host.update({ id: record.id, event: { type: 'ADD' } }, NOBODY)
    expect(await leaving.host.drain(50)).toBe(1)
    door.open()
    await update
  })
})

function nested(depth: number): unknown {
  let value: unknown = 1
  for (let n = 0; n < depth; n++) value = [value]
  return value
}

function codeOf(reason: unknown): string {
  return (reason as { code?: string }).code ?? String(reason)
}

function short(result: unknown): unknown {
  if (typeof result === 'boolean') return result
  const { outcome, applied, created, record } = result as {
    outcome?: string
    applied?: number
    created?: boolean
    record: { version: number }
  }
  return `${outcome ?? (created ? 'created' : 'found')} at ${applied ?? record.version}`
}
