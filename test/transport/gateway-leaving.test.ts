import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TroupeError } from '../../actors/errors.ts'
import { makeRecord, makeUpdate } from './support/parts.ts'
import { startRig, until, type Rig } from './support/gateway-rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await startRig()
})
afterEach(async () => {
  await rig.stop()
})

describe('leaving', () => {
  it('LC2 drains: tells clients to go, answers what is under way, then closes with a code to come back', async () => {
    const client = await rig.connect()
    const idle = await rig.connect()
    await client.call('createSession', { machine: 'counter', id: 'a' })
    rig.service.delayMs = () => 1500
    const id = client.request('updateSession', { id: 'a', event: { type: 'ADD' } })
    await until(() => rig.service.calls.includes('update a ADD'))
    const drained = rig.gateway.drain({ deadlineMs: 5000 })
    await until(() => client.notified('goAway').length > 0)
    await expect(rig.connect()).rejects.toThrow('503')
    expect((await idle.closed).code).toBe(4000)
    expect((await client.call('getSession', { id: 'a' })).error?.data).toMatchObject({
      code: 'draining',
      retryable: true,
    })
    expect((await client.reply(id)).result).toMatchObject({ applied: 2 })
    expect((await client.closed).code).toBe(4000)
    await drained
    expect(rig.gateway.connections).toBe(0)
  })

  it('LC2 sends clients away in waves with a jitter, and closes at the same pace those that ignore it', async () => {
    const clients = await Promise.all(Array.from({ length: 300 }, () => rig.connect()))
    const closedAt: number[] = []
    for (const client of clients) void client.closed.then(() => closedAt.push(Date.now()))
    const began = Date.now()
    const drained = rig.gateway.drain({ deadlineMs: 10_000 })
    await until(() => clients.some((client) => client.notified('goAway').length > 0))
    // The others are served as ever until it is their turn.
    expect(clients.filter((client) => client.notified('goAway').length === 0).length).toBeGreaterThan(100)
    expect((await clients.at(-1)?.call('getSession', { id: 'a' }))?.error).toBeUndefined()
    await drained
    await Promise.all(clients.map((client) => client.closed))
    expect(clients.map((client) => client.notified('goAway'))).toEqual(
      clients.map(() => [{ afterMs: 0, jitterMs: 500 }]),
    )
    expect(Math.min(...closedAt) - began).toBeGreaterThanOrEqual(990)
    expect(Math.max(...closedAt) - Math.min(...closedAt)).toBeGreaterThan(150)
  })

  it('does not wait for ever', async () => {
    const client = await rig.connect()
    rig.service.delayMs = () => 60_000
    client.request('getSession', { id: 'a' })
    await until(() => rig.service.calls.length > 0)
    const before = Date.now()
    await rig.gateway.drain({ deadlineMs: 400 })
    expect(Date.now() - before).toBeLessThan(2500)
    expect((await client.closed).code).toBe(4000)
  })

  it('lets go of subscriptions when a client is gone', async () => {
    const client = await rig.connect()
    await client.call('createSession', { machine: 'counter', id: 'a', subscribe: true })
    expect(rig.fanOut.size).toBe(1)
    client.socket.terminate()
    await until(() => rig.fanOut.size === 0)
    expect(rig.feed.log).toEqual(['+a', '-a'])
  })
})

it('what was done is told also where the session cannot be shown: a view that throws does not undo a commit', async () => {
  const client = await rig.connect()
  rig.service.unshowable = new TroupeError('internal', 'the view threw')
  const created = await client.call('createSession', { machine: 'counter', id: 'a' })
  expect(created.error?.data).toEqual({ code: 'internal', retryable: false, created: true })
  const updated = await client.call('updateSession', { id: 'a', event: { type: 'ADD' } })
  expect(updated.error).toMatchObject({
    message: 'It was done, but the session cannot be shown: the view threw',
    data: { code: 'internal', outcome: 'committed', applied: 2 },
  })
  const read = await client.call('getSession', { id: 'a' })
  expect(read.error).toMatchObject({
    message: 'the view threw',
    data: { code: 'internal', retryable: false },
  })
})

it('what is not a param of the method is named, with those that there are', async () => {
  const client = await rig.connect()
  const { error } = await client.call('getSession', { id: 'a', ifversion: 1 })
  expect(error?.message).toContain('Unrecognized key: "ifversion" (there are: id)')
})

describe('a session of a version that is not known here', () => {
  const unknown = (details: Record<string, unknown> = {}): TroupeError =>
    new TroupeError('unknown_machine_version', 'not served here', { details })

  it('MG3 sends those away, once, who ask for it or are subscribed to it, where another process knows it', async () => {
    const [asking, hearing, other] = [await rig.connect(), await rig.connect(), await rig.connect()]
    await other.call('createSession', { machine: 'counter', id: 'a' })
    await hearing.call('subscribe', { id: 'a' })
    rig.service.unshowable = unknown({ elsewhere: true })
    for (let n = 0; n < 3; n++) {
      const { error } = await asking.call('getSession', { id: 'a' })
      expect(error?.data).toMatchObject({ code: 'unknown_machine_version', retryable: true })
    }
    for (const version of [2, 3])
      rig.feed.onMessage(makeUpdate(makeRecord('a', version, '1001'), 'elsewhere'))
    for (const client of [asking, hearing]) {
      await until(() => client.notified('goAway').length > 0)
      expect((await client.closed).code).toBe(4000)
      expect(client.notified('goAway')).toEqual([{ afterMs: 0, jitterMs: 2000 }])
    }
    rig.service.unshowable = null
    expect((await other.call('getSession', { id: 'a' })).result).toMatchObject({ version: 1 })
    expect(other.notified('goAway')).toEqual([])
  })

  it('MG3 is an error where nobody knows it, also for who waits', async () => {
    const client = await rig.connect()
    await client.call('createSession', { machine: 'counter', id: 'a' })
    const waiting = client.call('waitFor', { id: 'a', until: { tag: 'never' }, timeoutMs: 5000 })
    await until(() => rig.service.calls.includes('read a'))
    rig.service.unshowable = unknown()
    rig.feed.onMessage(makeUpdate(makeRecord('a', 2, '1001'), 'elsewhere'))
    expect((await waiting).error?.data).toMatchObject({ code: 'unknown_machine_version' })
    const again = await client.call('waitFor', { id: 'a', until: { tag: 'never' }, timeoutMs: 5000 })
    expect(again.error?.data).toMatchObject({ code: 'unknown_machine_version' })
    expect(client.notified('goAway')).toEqual([])
  })
})
