import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MemoryPresence } from '../../persistence/memory-presence.ts'
import { makeRecord, makeUpdate, sessionId } from './support/parts.ts'
import { startRig, until, type Rig } from './support/gateway-rig.ts'

const LIMITS = { maxBufferedBytes: 64 * 1024, maxBacklogBytes: 512 * 1024 }

let rig: Rig
beforeEach(async () => {
  rig = await startRig(LIMITS)
})
afterEach(async () => {
  await rig.stop()
})

/** A WebSocket client by hand, which reads when told to. */
class SlowClient {
  readonly socket: Socket
  #received = Buffer.alloc(0)

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('data', (data) => (this.#received = Buffer.concat([this.#received, data])))
    this.socket.on('error', () => undefined)
    this.socket.write(
      'GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    )
  }

  send(value: unknown): void {
    const payload = Buffer.from(JSON.stringify(value))
    const head =
      payload.length > 125
        ? Buffer.from([0x81, 0xfe, payload.length >> 8, payload.length & 255])
        : Buffer.from([0x81, 0x80 | payload.length])
    this.socket.write(Buffer.concat([head, Buffer.alloc(4), payload]))
  }

  /** Params of the notifications so far. */
  notified(method: string): { id?: string; version?: number; dropped?: number; reason?: string }[] {
    return this.#texts()
      .map((text) => JSON.parse(text) as { method?: string; params: object })
      .filter((frame) => frame.method === method)
      .map((frame) => frame.params)
  }

  replies(): { result: { presence?: unknown[] } }[] {
    return this.#texts()
      .map((text) => JSON.parse(text) as { method?: string; result: object })
      .filter((frame) => frame.method === undefined)
  }

  #texts(): string[] {
    const texts: string[] = []
    let at = this.#received.indexOf('\r\n\r\n') + 4
    while (at + 2 <= this.#received.length) {
      const short = (this.#received[at + 1] ?? 0) & 127
      const start = at + (short === 126 ? 4 : short === 127 ? 10 : 2)
      const length =
        short === 126
          ? this.#received.readUInt16BE(at + 2)
          : short === 127
            ? Number(this.#received.readBigUInt64BE(at + 2))
            : short
      if (start + length > this.#received.length) break
      if (this.#received[at] === 0x81) texts.push(this.#received.subarray(start, start + length).toString())
      at = start + length
    }
    return texts
  }
}

describe('a client that reads slowly', () => {
  it('FD3 TR3 skips to the newest view, is told what it missed, and delays nobody', async () => {
    const slow = new SlowClient(rig.port)
    const quick = await rig.connect()
    const { epoch } =
      (await quick.call('createSession', { machine: 'counter', id: 'a', subscribe: true })).result ?? {}
    slow.send({ jsonrpc: '2.0', id: 1, method: 'subscribe', params: { id: 'a' } })
    await until(() => rig.service.calls.filter((call) => call === 'read a').length === 2)
    await until(() => slow.socket.bytesRead > 300)
    slow.socket.pause()

    const filler = 'x'.repeat(20_000)
    const last = 1500
    for (let version = 2; version <= last; version++) {
      rig.feed.onMessage(makeUpdate(makeRecord('a', version, String(epoch), { filler, version }), 'there'))
      rig.feed.onMessage({ kind: 'message', id: sessionId('a'), message: '"hello"' })
      if (version % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await until(() => quick.notified('sessionUpdated').at(-1)?.['version'] === last)
    expect(quick.notified('sessionUpdated')).toHaveLength(last - 1)
    expect(quick.notified('gap')).toEqual([])
    expect(rig.gateway.connections).toBe(2)

    slow.socket.resume()
    await until(() => slow.notified('sessionUpdated').at(-1)?.version === last)
    const versions = slow.notified('sessionUpdated').map(({ version }) => version ?? 0)
    expect(versions.length).toBeLessThan(last / 2)
    expect(versions).toEqual([...versions].sort((a, b) => a - b))
    expect(new Set(versions).size).toBe(versions.length)
    const dropped = slow.notified('gap').reduce((sum, gap) => sum + (gap.dropped ?? 0), 0)
    const got = slow.notified('sessionMessage').length + slow.notified('sessionEmitted').length
    expect(got + dropped).toBe(2 * (last - 1))
    slow.socket.destroy()
  }, 30_000)

  it('PR1 TR3 is told that its list of members is out of date', async () => {
    const store = new MemoryPresence(
      () => Date.now(),
      (change) => setImmediate(() => present.feed.onMessage(change)),
    )
    const present = await startRig(LIMITS, undefined, {
      presence: {
        tell: async (_, entries) => store.tell('here', entries),
        memberOf: () => (client) => JSON.stringify({ client, principal: null }),
      },
    })
    const slow = new SlowClient(present.port)
    const other = await present.connect()
    const subscribe = (id: string) => ({
      ...{ jsonrpc: '2.0', id, method: 'subscribe' },
      params: { id, presence: true },
    })
    for (const id of ['a', 'b']) {
      await other.call('createSession', { machine: 'counter', id })
      slow.send(subscribe(id))
    }
    await until(() => slow.replies().length === 2)
    slow.socket.pause()
    // The kernel takes megabytes for it, and more with time: it is told on and on.
    const message = `"${'x'.repeat(100_000)}"`
    const flood = setInterval(
      () => present.feed.onMessage({ kind: 'message', id: sessionId('a'), message }),
      1,
    )
    await new Promise((resolve) => setTimeout(resolve, 500))
    for (const id of ['a', 'b']) {
      await other.call('subscribe', { id })
      await other.call('unsubscribe', { id })
      // Each is a change of its own.
      await new Promise((resolve) => setTimeout(resolve, 120))
    }
    clearInterval(flood)
    slow.socket.resume()
    await until(() => slow.notified('gap').some(({ id }) => id === 'b'))
    expect(slow.notified('presenceChanged')).toEqual([])
    const gaps = slow.notified('gap')
    expect(gaps.at(-2)).toMatchObject({ id: 'a', presence: true })
    expect(gaps.at(-2)?.dropped).toBeGreaterThan(0)
    expect(gaps.at(-1)).toEqual({ id: 'b', dropped: 0, presence: true })
    slow.send(subscribe('a'))
    await until(() => slow.replies().length === 3)
    expect(slow.replies()[2]?.result.presence).toHaveLength(1)
    slow.socket.destroy()
    await present.stop()
  }, 30_000)

  it('is told the end, after the newest view', async () => {
    const slow = new SlowClient(rig.port)
    const owner = await rig.connect()
    const { epoch } = (await owner.call('createSession', { machine: 'counter', id: 'a' })).result ?? {}
    slow.send({ jsonrpc: '2.0', id: 1, method: 'subscribe', params: { id: 'a' } })
    await until(() => slow.socket.bytesRead > 300)
    slow.socket.pause()
    const filler = 'x'.repeat(20_000)
    for (let version = 2; version <= 500; version++) {
      rig.feed.onMessage(makeUpdate(makeRecord('a', version, String(epoch), { filler }), 'there'))
      if (version % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    const position = { epoch: String(epoch), version: 501 }
    rig.feed.onMessage({ kind: 'ended', id: sessionId('a'), position, reason: 'expired' })
    slow.socket.resume()
    await until(() => slow.notified('sessionEnded').length > 0)
    expect(slow.notified('sessionEnded')).toMatchObject([{ version: 501, reason: 'expired' }])
    expect(slow.notified('sessionUpdated').at(-1)?.version).toBe(500)
    slow.socket.destroy()
  })

  it('TR3 is closed when it asks on without reading the answers', async () => {
    const small = await startRig({
      maxBufferedBytes: 64 * 1024,
      maxBacklogBytes: 100 * 1024,
      heartbeatMs: 100,
    })
    const greedy = new SlowClient(small.port)
    const owner = await small.connect()
    await owner.call('createSession', { machine: 'counter', id: 'a', input: { filler: 'x'.repeat(50_000) } })
    await until(() => greedy.socket.bytesRead > 0)
    greedy.socket.pause()
    for (let n = 0; n < 400; n++)
      greedy.send({ jsonrpc: '2.0', id: n, method: 'getSession', params: { id: 'a' } })
    await until(() => small.gateway.connections === 1, 10_000)
    expect((await owner.call('getSession', { id: 'a' })).result).toMatchObject({ version: 1 })
    greedy.socket.destroy()
    await small.stop()
  })
})
