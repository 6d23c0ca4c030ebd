import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeRecord, makeUpdate, sessionId } from './support/parts.ts'
import { startRig, until, type Rig } from './support/gateway-rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await startRig()
})
afterEach(() => rig.stop())

/** Another process moves session `a` on. */
function moves(version: number, state: object): void {
  const record = {
    ...makeRecord('a', version, '1001'),
    state: JSON.stringify({ tags: [], context: {}, ...state }),
  }
  rig.service.sessions.set('a', record)
  rig.feed.onMessage(makeUpdate(record, 'elsewhere'))
}

describe('waitFor', () => {
  it('answers when it comes true on another process, at once if it is true, and leaves nothing behind', async () => {
    const client = await rig.connect()
    await client.call('createSession', { machine: 'counter', id: 'a' })
    const waits = [
      client.call('waitFor', { id: 'a', until: { value: { busy: 'deep' } }, timeoutMs: 5000 }),
      client.call('waitFor', { id: 'a', until: { tag: 'late' }, timeoutMs: 5000 }),
      client.call('waitFor', { id: 'a', until: { done: true }, timeoutMs: 5000 }),
    ]
    expect(
      (await client.call('waitFor', { id: 'a', until: { value: 'on' }, timeoutMs: 5000 })).result,
    ).toMatchObject({
      version: 1,
    })
    await until(() => rig.service.calls.filter((call) => call === 'read a').length === 4)
    moves(2, { status: 'active', value: { busy: { deep: 'x' }, other: 'y' } })
    expect((await waits[0])?.result).toMatchObject({ id: 'a', version: 2 })
    moves(3, { status: 'active', value: 'on', tags: ['late'] })
    expect((await waits[1])?.result).toMatchObject({ version: 3 })
    moves(4, { status: 'done', value: 'off' })
    expect((await waits[2])?.result).toMatchObject({ version: 4, status: 'done' })
    await until(() => rig.fanOut.size === 0)
    expect(client.notified('sessionUpdated')).toEqual([])
  })

  it('does not hold up what is sent after it', async () => {
    const client = await rig.connect()
    await client.call('createSession', { machine: 'counter', id: 'a' })
    const waiting = client.call('waitFor', { id: 'a', until: { tag: 'never' }, timeoutMs: 300 })
    expect((await client.call('updateSession', { id: 'a', event: { type: 'ADD' } })).result).toMatchObject({
      version: 2,
    })
    expect((await waiting).error?.data).toMatchObject({ code: 'timeout' })
    await until(() => rig.fanOut.size === 0)
  })

  it('says why it cannot come true', async () => {
    const client = await rig.connect()
    const wait = async (id: string, condition: object): Promise<unknown> =>
      (await client.call('waitFor', { id, until: condition, timeoutMs: 5000 })).error?.data['code']
    expect(await wait('none', { done: true })).toBe('not_found')
    await client.call('createSession', { machine: 'counter', id: 'a' })
    const deleted = wait('a', { tag: 'x' })
    await until(() => rig.service.calls.includes('read a'))
    await (await rig.connect()).call('deleteSession', { id: 'a' })
    expect(await deleted).toBe('not_found')
    await client.call('createSession', { machine: 'counter', id: 'b' })
    const over = { status: 'done', value: 'off', tags: [], context: {} }
    rig.service.sessions.set('b', { ...makeRecord('b', 2, '9999'), state: JSON.stringify(over) })
    expect(await wait('b', { tag: 'x' })).toBe('session_ended')
    expect(await wait('a', { nonsense: 1 })).toBe('invalid_params')
  })

  it('is refused in a batch', async () => {
    const client = await rig.connect()
    await client.call('createSession', { machine: 'counter', id: 'a' })
    const params = { id: 'a', until: { done: true }, timeoutMs: 60_000 }
    client.send([{ jsonrpc: '2.0', id: 50, method: 'waitFor', params }])
    const batch = await until(() =>
      client.frames.map((frame) => JSON.parse(frame) as unknown).find(Array.isArray),
    )
    expect(batch).toMatchObject([{ id: 50, error: { data: { code: 'invalid_request' } } }])
  })

  it('LC2 ends with the connection, and is answered by a process that leaves', async () => {
    const [gone, told] = [await rig.connect(), await rig.connect()]
    await gone.call('createSession', { machine: 'counter', id: 'a' })
    gone.request('waitFor', { id: 'a', until: { done: true }, timeoutMs: 60_000 })
    const waiting = told.call('waitFor', { id: 'a', until: { done: true }, timeoutMs: 60_000 })
    await until(() => rig.service.calls.filter((call) => call === 'read a').length === 2)
    gone.socket.terminate()
    await rig.gateway.drain({ deadlineMs: 2000 })
    expect((await waiting).error?.data).toMatchObject({ code: 'draining' })
    await until(() => rig.fanOut.size === 0)
    expect(sessionId('a')).toBe('a')
  })
})
