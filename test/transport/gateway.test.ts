import { get as httpGet } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  methods,
  notifications,
  type MethodName,
  type NotificationName,
} from '../../transport/protocol/messages.ts'
import { makeRecord, makeUpdate, sessionId } from './support/parts.ts'
import { startRig, until, type Rig } from './support/gateway-rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await startRig()
})
afterEach(async () => {
  await rig.stop()
})

describe('the methods', () => {
  it('answers each as its schema says', async () => {
    const client = await rig.connect()
    const other = await rig.connect()
    const script: [MethodName, object][] = [
      ['createSession', { machine: 'counter', id: 'a', subscribe: true }],
      ['getSession', { id: 'a' }],
      ['getSession', { id: 'none' }],
      ['updateSession', { id: 'a', event: { type: 'ADD', by: 2 } }],
      ['updateSession', { id: 'a', event: { type: 'NOTHING' } }],
      ['subscribe', { id: 'a', since: { epoch: '1', version: 1 } }],
      ['unsubscribe', { id: 'a' }],
      ['subscribe', { id: 'a' }],
      ['broadcastToSession', { id: 'a', message: [1, null] }],
      ['waitFor', { id: 'a', until: { value: 'on' }, timeoutMs: 1000 }],
      ['rpc.discover', {}],
      ['deleteSession', { id: 'a' }],
      ['deleteSession', { id: 'a' }],
    ]
    await client.call('createSession', { machine: 'counter', id: 'b' })
    await other.call('subscribe', { id: 'b' })
    for (const [method, params] of script) {
      const reply = await client.call(method, params)
      expect(reply.error, method).toBeUndefined()
      const checked = methods[method].result.safeParse(reply.result)
      expect(checked.error?.issues, method).toBeUndefined()
    }
    for (const { method, params } of client.received.filter((frame) => frame.method !== undefined)) {
      expect(notifications[method as NotificationName].params.safeParse(params).success, method).toBe(true)
    }
  })

  it('FD2 tells the end of a session behind the replies that are under way, and before what comes after it', async () => {
    const [owner, other] = [await rig.connect(), await rig.connect()]
    await owner.call('createSession', { machine: 'counter', id: 'a', subscribe: true })
    rig.service.delayMs = () => 50
    owner.send([
      { jsonrpc: '2.0', id: 100, method: 'getSession', params: { id: 'a' } },
      { jsonrpc: '2.0', id: 101, method: 'getSession', params: { id: 'b' } },
    ])
    await until(() => rig.service.calls.includes('get b'))
    rig.service.delayMs = () => 0
    await other.call('deleteSession', { id: 'a' })
    expect(owner.notified('sessionEnded')).toEqual([])
    await until(() => owner.notified('sessionEnded').length > 0)
    const order = owner.received.map((frame) => (Array.isArray(frame) ? 'batch' : (frame.method ?? 'reply')))
    expect(order.indexOf('sessionEnded')).toBeGreaterThan(order.indexOf('batch'))
  })

  it('subscribes with the creation before the next request takes effect, so that none of its emitted events is missed', async () => {
    const client = await rig.connect()
    const created = client.call('createSession', { machine: 'counter', id: 'a', subscribe: true })
    const updated = client.call('updateSession', { id: 'a', event: { type: 'ADD' } })
    expect((await created).result).toMatchObject({ created: true, version: 1 })
    expect((await updated).result).toMatchObject({ applied: 2 })
    expect(rig.service.calls).toEqual(['create a', 'read a', 'update a ADD'])
  })

  it('carries an update in the reply of whoever caused it, and as a notification to the others', async () => {
    const [writer, reader] = [await rig.connect(), await rig.connect()]
    await writer.call('createSession', { machine: 'counter', id: 'a', subscribe: true })
    expect((await reader.call('subscribe', { id: 'a' })).result).toMatchObject({
      recovered: false,
      session: { version: 1 },
    })
    const reply = await writer.call('updateSession', { id: 'a', event: { type: 'ADD' } })
    expect(reply.result).toMatchObject({ outcome: 'committed', applied: 2, id: 'a', version: 2 })
    await until(() => reader.notified('sessionUpdated').length > 0)
    expect(reader.notified('sessionUpdated')).toMatchObject([
      { id: 'a', version: 2, events: ['ADD'], context: { last: { type: 'ADD' } } },
    ])
    expect(reader.received.map((frame) => frame.method).slice(-2)).toEqual([
      'sessionEmitted',
      'sessionUpdated',
    ])
    expect(writer.notified('sessionUpdated')).toEqual([])
    expect(writer.notified('sessionEmitted')).toMatchObject([
      { version: 2, event: { type: 'added', version: 2 } },
    ])
  })

  it('tells the sender of a request without id like everybody else, and does not answer it', async () => {
    const client = await rig.connect()
    await client.call('createSession', { machine: 'counter', id: 'a', subscribe: true })
    client.send({ jsonrpc: '2.0', method: 'updateSession', params: { id: 'a', event: { type: 'ADD' } } })
    client.send({
      jsonrpc: '2.0',
      method: 'updateSession',
      params: { id: 'missing', event: { type: 'ADD' } },
    })
    client.send({ jsonrpc: '2.0', method: 'noSuchMethod' })
    await until(() => client.notified('sessionUpdated').length > 0)
    await client.call('getSession', { id: 'a' })
    expect(client.received.filter((frame) => frame.method === undefined)).toHaveLength(2)
  })

  it('knows what a client holds already', async () => {
    const client = await rig.connect()
    const { epoch } = (await client.call('createSession', { machine: 'counter', id: 'a' })).result ?? {}
    const current = await client.call('subscribe', { id: 'a', since: { epoch, version: 1 } })
    expect(current.result).toEqual({ recovered: true, session: null })
    const other = await rig.connect()
    await other.call('updateSession', { id: 'a', event: { type: 'ADD' } })
    const older = await other.call('subscribe', { id: 'a', since: { epoch, version: 1 } })
    expect(older.result).toMatchObject({ recovered: false, session: { version: 2 } })
  })

  it('ends the subscription with the session, and tells the end once', async () => {
    const [owner, other] = [await rig.connect(), await rig.connect()]
    await owner.call('createSession', { machine: 'counter', id: 'a', subscribe: true })
    await other.call('subscribe', { id: 'a' })
    expect((await owner.call('deleteSession', { id: 'a' })).result).toEqual({ deleted: true })
    await until(() => other.notified('sessionEnded').length > 0)
    expect(other.notified('sessionEnded')).toMatchObject([{ id: 'a', version: 2, reason: 'deleted' }])
    expect(owner.notified('sessionEnded')).toEqual([])
    expect((await owner.call('subscribe', { id: 'a' })).error?.data).toMatchObject({ code: 'not_found' })
    await owner.call('createSession', { machine: 'counter', id: 'a', subscribe: true })
    await other.call('updateSession', { id: 'a', event: { type: 'ADD' } })
    await until(() => owner.notified('sessionUpdated').length > 0)
    expect(other.notified('sessionUpdated')).toEqual([])
  })

  it('does not tell the end a second time when the feed is faster than the reply', async () => {
    const owner = await rig.connect()
    const { epoch } =
      (await owner.call('createSession', { machine: 'counter', id: 'a', subscribe: true })).result ?? {}
    rig.service.delayMs = () => 50
    const id = owner.request('deleteSession', { id: 'a' })
    await until(() => rig.service.calls.includes('delete a'))
    const position = { epoch: String(epoch), version: 2 }
    rig.feed.onMessage({ kind: 'ended', id: sessionId('a'), position, reason: 'deleted' })
    expect((await owner.reply(id)).result).toEqual({ deleted: true })
    await owner.call('getSession', { id: 'a' })
    expect(owner.notified('sessionEnded')).toEqual([])
  })

  it('brings broadcasts to every subscriber, the sender too', async () => {
    const [a, b, c] = [await rig.connect(), await rig.connect(), await rig.connect()]
    await a.call('createSession', { machine: 'counter', id: 'a', subscribe: true })
    await b.call('subscribe', { id: 'a' })
    expect((await a.call('broadcastToSession', { id: 'a', message: { hi: '"there"' } })).result).toEqual({})
    await until(() => b.notified('sessionMessage').length > 0)
    expect(a.notified('sessionMessage')).toEqual([{ id: 'a', message: { hi: '"there"' } }])
    await c.call('getSession', { id: 'a' })
    expect(c.notified('sessionMessage')).toEqual([])
    expect((await a.call('broadcastToSession', { id: 'nobody', message: null })).result).toEqual({})
  })
})

describe('order', () => {
  it('lets requests for one session take effect in the order sent', async () => {
    const client = await rig.connect()
    rig.service.delayMs = () => Math.random() * 8
    client.request('createSession', { machine: 'counter', id: 'a' })
    const versions: number[] = []
    for (let n = 0; n < 30; n++) {
      if (n % 3 === 0) client.request('getSession', { id: 'a' })
      else client.request('updateSession', { id: 'a', event: { type: 'ADD', n } })
    }
    await client.reply(31)
    for (let id = 2; id <= 31; id++) versions.push(Number((await client.reply(id)).result?.version))
    // Request n + 2 is number n of the loop: two of three of those before it were updates.
    expect(versions).toEqual(Array.from({ length: 30 }, (_, n) => 1 + n - Math.floor(n / 3)))
  })

  it('keeps it within and across batches', async () => {
    const client = await rig.connect()
    rig.service.delayMs = () => Math.random() * 5
    const request = (id: number, method: string, params: object): object => ({
      jsonrpc: '2.0',
      id,
      method,
      params,
    })
    client.send([
      request(1, 'createSession', { machine: 'counter', id: 'a' }),
      request(2, 'updateSession', { id: 'a', event: { type: 'ADD' } }),
      request(3, 'getSession', { id: 'a' }),
      { jsonrpc: '2.0', method: 'updateSession', params: { id: 'a', event: { type: 'ADD' } } },
      request(4, 'subscribe', { id: 'a' }),
      17,
      request(5, 'deleteSession', { id: 'a' }),
      request(6, 'getSession', { id: 'a' }),
    ])
    client.send([
      request(7, 'createSession', { machine: 'counter', id: 'a' }),
      request(8, 'getSession', { id: 'a' }),
    ])
    const batches = await until(() => {
      const arrays = client.frames.map((frame) => JSON.parse(frame) as unknown).filter(Array.isArray)
      return arrays.length === 2 && arrays
    })
    expect(batches[0]).toMatchObject([
      { id: 1, result: { created: true, version: 1 } },
      { id: 2, result: { applied: 2, version: 2 } },
      { id: 3, result: { version: 2 } },
      { id: 4, result: { recovered: false, session: { version: 3 } } },
      { id: null, error: { data: { code: 'invalid_request' } } },
      { id: 5, result: { deleted: true } },
      { id: 6, result: null },
    ])
    expect(batches[1]).toMatchObject([{ id: 7 }, { id: 8, result: { version: 1 } }])
  })

  it('does not answer a batch without ids', async () => {
    const client = await rig.connect()
    client.send([{ jsonrpc: '2.0', method: 'getSession', params: { id: 'a' } }])
    await client.call('getSession', { id: 'a' })
    expect(client.frames).toHaveLength(1)
  })

  it('FD2 lets no reply carry an older view than the connection has got', async () => {
    const client = await rig.connect()
    const { epoch } =
      (await client.call('createSession', { machine: 'counter', id: 'a', subscribe: true })).result ?? {}
    rig.service.delayMs = () => 40
    const id = client.request('updateSession', { id: 'a', event: { type: 'NOTHING' } })
    await until(() => rig.service.calls.includes('update a NOTHING'))
    const newer = makeRecord('a', 2, String(epoch))
    rig.feed.onMessage(makeUpdate(newer, 'there'))
    const reply = await client.reply(id)
    expect(client.received.map((frame) => frame.method ?? frame.id)).toEqual([
      1,
      'sessionEmitted',
      'sessionUpdated',
      id,
    ])
    expect(reply.result).toMatchObject({ outcome: 'unchanged', version: 2 })
  })
})

describe('the door', () => {
  const headers = (name: string, value: string): { headers: Record<string, string> } => ({
    headers: { [name]: value },
  })

  it('lets in programs and pages of this machine only, unless told otherwise', async () => {
    await rig.connect()
    await rig.connect({ origin: 'http://localhost:8080' })
    await rig.connect({ origin: 'http://127.0.0.1' })
    for (const origin of [
      'https://evil.example',
      'null',
      'http://localhost.evil.example',
      'file://localhost',
    ]) {
      await expect(rig.connect({ origin }), origin).rejects.toThrow('403')
    }
    const open = await startRig({}, ['https://mine.example'])
    await open.connect({ origin: 'https://mine.example' })
    await expect(open.connect({ origin: 'http://localhost' })).rejects.toThrow('403')
    await open.stop()
  })

  it('says what is wrong with other requests', async () => {
    await expect(rig.connect({ path: '/other' })).rejects.toThrow('404')
    const plain = (path: string, extra = {}): Promise<string> =>
      new Promise((resolve, reject) => {
        httpGet({ port: rig.port, path, ...extra }, (response) => {
          let body = ''
          response.on('data', (chunk: Buffer) => (body += chunk.toString()))
          response.on('end', () => resolve(`${response.statusCode} ${body}`))
        }).on('error', reject)
      })
    expect(await plain('/ws')).toMatch(/^426 Only WebSocket/)
    expect(await plain('/ws', headers('Connection', 'Upgrade'))).toMatch(/^426/)
    expect(await plain('/ws', { headers: { Connection: 'Upgrade', Upgrade: 'h2c' } })).toMatch(
      /^426 Only WebSocket/,
    )
    expect(await plain('/healthz')).toBe('200 {"ok":true}\n')
    expect(await plain('/')).toMatch(/^404 There is nothing here/)
  })

  it('takes the subprotocol, or none', async () => {
    expect((await rig.connect()).socket.protocol).toBe('')
    expect((await rig.connect({ protocols: ['other', 'troupe.v1'] })).socket.protocol).toBe('troupe.v1')
  })

  it('takes no more connections than it may', async () => {
    const small = await startRig({ maxConnections: 2 })
    await small.connect()
    const second = await small.connect()
    await expect(small.connect()).rejects.toThrow('503')
    second.socket.close()
    await until(() => small.gateway.connections === 1)
    await small.connect()
    await small.stop()
  })
})

describe('limits', () => {
  it('closes at binary frames and at frames that are too large', async () => {
    const binary = await rig.connect()
    binary.socket.send(Buffer.from([1, 2, 3]))
    expect((await binary.closed).code).toBe(4500)
    const large = await rig.connect()
    large.send('x'.repeat(300_000))
    expect((await large.closed).code).toBe(1009)
  })

  it('TR3 stops reading a client that has too many requests under way', async () => {
    const small = await startRig({ maxInFlight: 4 })
    small.service.delayMs = () => 20
    const client = await small.connect()
    const filler = 'x'.repeat(20_000)
    for (let n = 0; n < 200; n++) client.request('broadcastToSession', { id: `s${n}`, message: filler })
    await until(() => small.service.calls.length > 0)
    await new Promise((resolve) => setTimeout(resolve, 10))
    // Those of one chunk that was read already are taken too.
    expect(small.service.calls.length).toBeLessThan(20)
    await client.reply(200)
    expect(client.received.filter((frame) => frame.result !== undefined)).toHaveLength(200)
    await small.stop()
  })

  it('refuses more subscriptions than one connection may have', async () => {
    const small = await startRig({ maxSubscriptions: 2 })
    const client = await small.connect()
    for (const id of ['a', 'b', 'c']) await client.call('createSession', { machine: 'counter', id })
    await client.call('subscribe', { id: 'a' })
    await client.call('subscribe', { id: 'b' })
    expect((await client.call('subscribe', { id: 'c' })).error?.data.code).toBe('rate_limited')
    expect((await client.call('subscribe', { id: 'a' })).error).toBeUndefined()
    await client.call('unsubscribe', { id: 'a' })
    expect((await client.call('subscribe', { id: 'c' })).error).toBeUndefined()
    await small.stop()
  })

  it('ends connections that do not answer pings, and keeps those that do', async () => {
    const quick = await startRig({ heartbeatMs: 60 })
    const [alive, dead] = [await quick.connect(), await quick.connect({ autoPong: false })]
    expect((await dead.closed).code).toBeGreaterThan(1000)
    expect((await alive.call('getSession', { id: 'a' })).result).toBeNull()
    await quick.stop()
  })
})

describe('faults', () => {
  it('tells nothing of an unknown fault to the client, and all of it to the log', async () => {
    const client = await rig.connect()
    rig.service.failure = new Error('secret detail')
    const { error } = await client.call('getSession', { id: 'a' })
    expect(error).toMatchObject({ code: -32603, data: { code: 'internal', retryable: false } })
    expect(JSON.stringify(error)).not.toContain('secret')
    expect(JSON.stringify(rig.log.lines)).toContain('secret detail')
  })
})
