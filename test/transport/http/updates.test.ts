import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TroupeError } from '../../../actors/errors.ts'
import { notifications, type NotificationName } from '../../../transport/protocol/messages.ts'
import { makeRecord, makeUpdate, sessionId } from '../support/parts.ts'
import { startRig, until, type Rig } from '../support/gateway-rig.ts'
import { EventClient, send } from './http-client.ts'

const LIMITS = {
  maxBufferedBytes: 64 * 1024,
  maxBacklogBytes: 512 * 1024,
  heartbeatMs: 200,
  maxConnections: 4,
}

let rig: Rig
async function start(limits: typeof LIMITS): Promise<void> {
  rig = await startRig(limits)
  await send(rig.port, 'POST /sessions', { body: { machine: 'counter', id: 'a' } })
}
beforeEach(() => start(LIMITS))
afterEach(async () => {
  await rig.stop()
})

const open = (query = '', headers: Record<string, string> = {}): Promise<EventClient> =>
  EventClient.open(rig.port, `/sessions/a/updates${query}`, headers)
const add = () => send(rig.port, 'POST /sessions/a/events', { body: { type: 'ADD' } })

describe('the stream of updates', () => {
  it('begins with the session, tells all that happens, and ends with it', async () => {
    const client = await open()
    await until(() => client.events.length === 1)
    await add()
    await send(rig.port, 'POST /sessions/a/messages', { body: { text: 'two\nlines\r\n\n' } })
    await until(() => client.named('sessionMessage').length === 1)
    await send(rig.port, 'DELETE /sessions/a')
    await client.ended
    expect(client.events.map(({ event, id }) => [event, id])).toEqual([
      ['sessionUpdated', '1001-1'],
      ['sessionEmitted', undefined],
      ['sessionUpdated', '1001-2'],
      ['sessionMessage', undefined],
      ['sessionEnded', undefined],
    ])
    for (const { event, data } of client.events)
      expect(notifications[event as NotificationName].params.safeParse(data).error, event).toBeUndefined()
    expect(client.named('sessionUpdated')[1]).toMatchObject({ version: 2, events: ['ADD'] })
    expect(client.named('sessionMessage')).toEqual([{ id: 'a', message: { text: 'two\nlines\r\n\n' } }])
    expect(client.named('sessionEnded')).toMatchObject([{ reason: 'deleted' }])
    expect(rig.api.connections).toBe(0)
    expect(rig.feed.log.filter((line) => line === '+a')).toHaveLength(1)
  })

  it('FD2 goes on where the client was', async () => {
    await add()
    const [current, behind, byHeader, otherLife] = [
      await open('?since=1001-2'),
      await open('?since=1001-1'),
      await open('?since=1001-1', { 'last-event-id': '1001-2' }),
      await open('', { 'last-event-id': '1000-2' }),
    ]
    await add()
    const clients = [current, behind, byHeader, otherLife]
    await until(() => clients.every((each) => each.text.includes('id: 1001-3')))
    expect(clients.map((each) => each.named('sessionUpdated').map(({ version }) => version))).toEqual([
      [3],
      [2, 3],
      [3],
      [2, 3],
    ])
    expect(behind.events[0]).toMatchObject({ event: 'gap', data: { dropped: 0 } })
    expect([...current.named('gap'), ...byHeader.named('gap'), ...otherLife.named('gap')]).toEqual([])
    for (const each of clients) each.close()
    await until(() => rig.api.connections === 0)
  })

  it('is refused where there is no session, or nothing that can be shown, before it begins', async () => {
    const refusals: [string, number][] = [
      ['GET /sessions/none/updates', 404],
      ['HEAD /sessions/none/updates', 404],
      ['GET /sessions/a/updates?since=5', 400],
      ['GET /sessions/a/updates?from=1001-1', 400],
      ['POST /sessions/a/updates', 405],
    ]
    for (const [line, status] of refusals) expect((await send(rig.port, line)).status, line).toBe(status)
    rig.service.unshowable = new Error('the view threw')
    expect((await send(rig.port, 'GET /sessions/a/updates')).json).toMatchObject({
      status: 500,
      code: 'internal',
    })
    expect(rig.api.connections).toBe(0)
    const head = await send(rig.port, 'HEAD /sessions/a/updates')
    expect([head.status, head.headers['content-type'], head.text]).toEqual([200, 'text/event-stream', ''])
  })

  it('is kept alive by comments', async () => {
    const client = await open()
    await until(() => client.text.includes('\n\n:\n\n'))
    client.close()
  })

  it('TR3 counts as a connection, together with sockets', async () => {
    const clients = [await open(), await open(), await open()]
    const socket = await rig.connect()
    const refused = await send(rig.port, 'GET /sessions/a/updates')
    expect([refused.status, refused.json['code'], refused.headers['retry-after']]).toEqual([
      503,
      'rate_limited',
      '1',
    ])
    expect((await send(rig.port, 'GET /sessions/a/wait?until=done')).status).toBe(503)
    expect((await send(rig.port, 'GET /sessions/a')).status).toBe(200)
    await expect(rig.connect()).rejects.toThrow('503')
    clients[0]?.close()
    await until(() => rig.api.connections === 2)
    ;(await open()).close()
    socket.socket.close()
    for (const each of clients) each.close()
  })

  it('LC2 a drain sends it away, answers what is under way, and takes nothing more', async () => {
    const client = await open()
    rig.service.delayMs = () => 100
    const [under, waiting] = [add(), send(rig.port, 'GET /sessions/a/wait?until=done')]
    await until(() => rig.api.connections === 2)
    await until(() => rig.service.calls.includes('update a ADD'))
    const drained = rig.api.drain({ deadlineMs: 5000 })
    await client.ended
    expect(client.events.at(-1)).toMatchObject({ event: 'goAway', data: { afterMs: 0 } })
    expect(client.text).toMatch(/retry: \d+\nevent: goAway/)
    expect((await waiting).json).toMatchObject({ status: 503, code: 'draining', retryable: true })
    const answered = await under
    expect([answered.status, answered.headers.connection]).toEqual([200, 'close'])
    await drained
    const late = await add()
    expect([late.status, late.headers['retry-after'], late.headers.connection]).toEqual([503, '1', 'close'])
  })

  it('is not written to before it has begun, however long that takes', async () => {
    rig.service.delayMs = () => 400
    const client = await open()
    expect([client.response.statusCode, client.response.headers['content-type']]).toEqual([
      200,
      'text/event-stream',
    ])
    await until(() => client.named('sessionUpdated').length === 1)
    client.close()
  })

  it('LC2 one that has not begun when a drain comes is answered with an error, and may be opened elsewhere', async () => {
    rig.service.delayMs = () => 400
    const answer = send(rig.port, 'GET /sessions/a/updates')
    await until(() => rig.api.connections === 1)
    await rig.api.drain({ deadlineMs: 5000 })
    expect(await answer).toMatchObject({ status: 503, json: { code: 'unavailable', retryable: true } })
    expect(rig.fanOut.size).toBeLessThanOrEqual(1)
  })

  it('LC2 what comes to last during a drain is refused, and not waited for', async () => {
    await rig.stop()
    const asked: (() => void)[] = []
    rig = await startRig(LIMITS, undefined, {
      authenticate: () =>
        new Promise((resolve) =>
          asked.push(() => resolve({ principal: { id: 'ann' }, expiresAt: null } as never)),
        ),
    })
    rig.service.sessions.set('a', makeRecord('a', 1))
    const answers = ['updates', 'wait?until=done'].map((what) => send(rig.port, `GET /sessions/a/${what}`))
    await until(() => asked.length === 2)
    const drained = rig.api.drain({ deadlineMs: 5000 }).then(() => performance.now())
    const began = performance.now()
    for (const each of asked) each()
    for (const answer of answers)
      expect(await answer).toMatchObject({ status: 503, json: { code: 'draining', retryable: true } })
    expect((await drained) - began).toBeLessThan(3000)
  })

  it('TR3 holds no place for a client that has gone while it was asked who it is', async () => {
    await rig.stop()
    const asked: (() => void)[] = []
    rig = await startRig(LIMITS, undefined, {
      authenticate: () =>
        new Promise((resolve) =>
          asked.push(() => resolve({ principal: { id: 'ann' }, expiresAt: null } as never)),
        ),
    })
    rig.service.sessions.set('a', makeRecord('a', 1))
    for (const what of ['updates', 'wait?until=done']) {
      const socket = connect(rig.port, '127.0.0.1')
      socket.write(`GET /sessions/a/${what} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
      await until(() => asked.length === 1)
      socket.destroy()
      await new Promise((resolve) => setTimeout(resolve, 50))
      asked.pop()?.()
      await new Promise((resolve) => setTimeout(resolve, 50))
      expect(rig.api.connections, what).toBe(0)
    }
  })

  it('LC2 a drain waits no longer than its deadline', async () => {
    rig.service.delayMs = () => 60_000
    const lost = add().catch((error: Error) => error.message)
    await until(() => rig.service.calls.includes('update a ADD'))
    await rig.api.drain({ deadlineMs: 50 })
    expect(await lost).toMatch(/hang up|RESET/)
  })

  it('is sent away when its session is for other processes now', async () => {
    const client = await open()
    await until(() => client.events.length === 1)
    rig.service.unshowable = new TroupeError('unknown_machine_version', 'Not here.', {
      details: { elsewhere: true },
    })
    rig.feed.onMessage(makeUpdate(makeRecord('a', 2, '1001'), 'there'))
    await client.ended
    expect(client.events.at(-1)).toMatchObject({ event: 'goAway', data: { afterMs: 2000 } })
  })
})

describe('a client that comes back to a session that keeps its last commits', () => {
  const told = ({ events }: EventClient): unknown[] =>
    events.map(({ event, id, data }) => [event, id ?? data['version'] ?? data['dropped']])

  beforeEach(async () => {
    rig.service.keeps = 5
    for (let n = 0; n < 7; n++) await add()
  })

  it('FD1 gets each update that it missed, with what was emitted, and goes on', async () => {
    const client = await open('', { 'last-event-id': '1001-5' })
    await until(() => client.events.length === 6)
    await add()
    await until(() => client.text.includes('id: 1001-9'))
    expect(told(client)).toEqual(
      [6, 7, 8, 9].flatMap((version) => [
        ['sessionEmitted', version],
        ['sessionUpdated', `1001-${version}`],
      ]),
    )
    expect(client.named('sessionUpdated')[0]).toMatchObject({ events: ['ADD'], version: 6 })
    for (const { event, data } of client.events)
      expect(notifications[event as NotificationName].params.safeParse(data).error, event).toBeUndefined()
    client.close()
  })

  it('gets a gap and the newest view, and no part, where not all of it is known or it is too much', async () => {
    const [tooOld, hidden] = [await open('?since=1001-2'), await open('?since=1000-6')]
    await until(() => told(tooOld).length > 0 && told(hidden).length > 0)
    expect(told(tooOld)).toEqual([
      ['gap', 0],
      ['sessionUpdated', '1001-8'],
    ])
    expect(told(hidden)).toEqual([['sessionUpdated', '1001-8']])
    const text = 'x'.repeat(LIMITS.maxBacklogBytes / 6)
    for (let n = 0; n < 2; n++)
      await send(rig.port, 'POST /sessions/a/events', { body: { type: 'ADD', text } })
    const tooMuch = await open('?since=1001-8')
    await until(() => told(tooMuch).length === 2)
    expect(told(tooMuch)).toEqual([
      ['gap', 0],
      ['sessionUpdated', '1001-10'],
    ])
    for (const each of [tooOld, hidden, tooMuch]) each.close()
  })
})

describe('a client that reads slowly', () => {
  const filler = 'x'.repeat(20_000)
  const commit = (version: number): void =>
    rig.feed.onMessage(makeUpdate(makeRecord('a', version, '1001', { filler, version }), 'there'))

  it('FD3 TR3 skips to the newest view, is told what it missed and the end, and delays nobody', async () => {
    // It pauses for as long as the other one takes, and is not to be cut off for that.
    await rig.stop()
    await start({ ...LIMITS, heartbeatMs: 10_000 })
    const [slow, quick] = [await open(), await open()]
    await until(() => slow.events.length === 1)
    slow.response.pause()
    const last = 1000
    for (let version = 2; version <= last; version++) {
      commit(version)
      rig.feed.onMessage({ kind: 'message', id: sessionId('a'), message: '"hello"' })
      if (version % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await until(() => quick.text.includes(`id: 1001-${last}\n`))
    expect(quick.named('sessionUpdated')).toHaveLength(last)
    rig.feed.onMessage({
      kind: 'ended',
      id: sessionId('a'),
      position: { epoch: '1001', version: last + 1 },
      reason: 'expired',
    })
    slow.response.resume()
    await slow.ended
    const versions = slow.named('sessionUpdated').map(({ version }) => version as number)
    expect(versions.length).toBeLessThan(last / 2)
    expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b))
    expect(versions.at(-1)).toBe(last)
    const dropped = slow.named('gap').reduce((sum, gap) => sum + (gap['dropped'] as number), 0)
    expect(slow.named('sessionMessage').length + slow.named('sessionEmitted').length + dropped).toBe(
      2 * (last - 1),
    )
    expect(slow.events.at(-1)).toMatchObject({ event: 'sessionEnded', data: { reason: 'expired' } })
  })

  it('TR3 is cut off when it takes nothing at all', async () => {
    const [slow, quick] = [await open(), await open()]
    slow.response.pause()
    let version = 1
    const deadline = Date.now() + 10_000
    while (rig.api.connections === 2 && Date.now() < deadline) {
      commit(++version)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    expect(rig.api.connections).toBe(1)
    await until(() => quick.text.includes(`id: 1001-${version}\n`))
    quick.close()
    slow.close()
  })

  it('TR3 is cut off at once when one view is more than it may have waiting', async () => {
    const slow = await open()
    await until(() => slow.events.length === 1)
    slow.response.pause()
    const huge = 'x'.repeat(8 * 1024 * 1024)
    rig.feed.onMessage(makeUpdate(makeRecord('a', 2, '1001', { huge }), 'there'))
    await until(() => rig.api.connections === 0)
    slow.close()
  })

  it('TR3 has few requests of one connection under way, however many it sends', async () => {
    rig.service.delayMs = () => 200
    const socket = connect(rig.port, '127.0.0.1')
    let text = ''
    socket.on('data', (data: Buffer) => (text += data.toString()))
    socket.on('error', () => undefined)
    socket.write('GET /sessions/a HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(200))
    await new Promise<void>((resolve) => void socket.on('close', () => resolve()))
    expect(rig.service.calls.filter((call) => call === 'get a').length).toBeLessThanOrEqual(16)
    expect(text.match(/HTTP\/1.1 200/g)).toHaveLength(16)
    expect(text.match(/HTTP\/1.1 429/g)).toHaveLength(1)
  })
})
