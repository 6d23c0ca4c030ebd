import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createServer } from 'node:net'
import { createClient, type Client, type ClientOptions } from '../../../transport/client/index.ts'
import { waitMs } from '../../../transport/client/backoff.ts'
import { sleepMs, until } from '../../support/hosts.ts'
import { refusal, ScriptedServer, viewOf } from './support/scripted-server.ts'

let server: ScriptedServer
let clients: Client[]
beforeEach(async () => {
  server = await ScriptedServer.start()
  clients = []
})
afterEach(() => {
  for (const client of clients) client.close()
  server.stop()
})

function connect(options: Partial<ClientOptions> = {}): Client {
  const client = createClient({
    url: server.url,
    WebSocket,
    backoff: { minMs: 5, maxMs: 20 },
    ...options,
  })
  clients.push(client)
  return client
}

const isOpen = (client: Client) => () => client.status.getSnapshot().state === 'open'

/** Tries after 0, 100, 300 and 700 ms, and the end long after the last: one that is under way then would be in doubt. */
const FOUR_TRIES = { backoff: { minMs: 100, maxMs: 10_000 }, random: () => 1, requestTimeoutMs: 1100 }

describe('a client and its connection', () => {
  it.each([4000, 4001, 4002, 1006, 1012])('comes back after %i', async (code) => {
    const client = connect()
    await until(isOpen(client))
    if (code === 1006) server.sockets[0]?.terminate()
    else server.sockets[0]?.close(code)
    await until(() => server.sockets.length === 2)
    await until(isOpen(client))
  })

  it('stays away after 4500 to 4999, and says why', async () => {
    const client = connect()
    await until(isOpen(client))
    server.answer = () => undefined
    const waiting = client.updateSession('a', { type: 'ADD' })
    await until(() => server.asked.length === 1)
    server.sockets[0]?.close(4500, 'send text')
    await expect(waiting).rejects.toMatchObject({
      code: 'closed',
      outcome: 'unknown',
      data: { closeCode: 4500 },
    })
    await expect(client.getSession('a')).rejects.toMatchObject({ code: 'closed', message: /4500 send text/ })
    await expect(client.session('a').updates().next()).rejects.toMatchObject({ code: 'closed' })
    await sleepMs(50)
    expect(server.sockets.length).toBe(1)
    expect(client.status.getSnapshot()).toMatchObject({ state: 'closed', error: { code: 'closed' } })
  })

  it('opens another connection when told to go, and leaves the old one once it has answered', async () => {
    const client = connect()
    server.answer = ({ method, params }, connection) => {
      if (method === 'subscribe') return { result: { recovered: false, session: viewOf('a', 1, {}) } }
      return connection === 0
        ? undefined
        : { result: { ...viewOf(String(params['id']), 3, {}), outcome: 'committed' } }
    }
    client.session('a').subscribe(() => undefined)
    await until(() => client.session('a').phase === 'live')
    const states: string[] = []
    client.status.subscribe(({ state }) => states.push(state))
    const slow = client.updateSession('b', { type: 'SLOW' })
    await until(() => server.of('updateSession').length === 1)
    const behind = client.updateSession('b', { type: 'BEHIND' })
    server.notify(0, 'goAway', { afterMs: 0, jitterMs: 10 })
    await until(() => server.sockets.length === 2 && server.of('subscribe').length === 2)
    expect(await client.updateSession('c', { type: 'NEW' })).toMatchObject({ version: 3 })
    expect(server.sockets[0]?.readyState).toBe(WebSocket.OPEN)
    // What is behind a request on the old connection does not overtake it on the new one.
    expect(server.of('updateSession').map(({ event }) => (event as { type: string }).type)).toEqual([
      'SLOW',
      'NEW',
    ])
    const { id } = server.asked.find(({ method }) => method === 'updateSession') ?? {}
    server.sockets[0]?.send(
      JSON.stringify({ jsonrpc: '2.0', id, result: { ...viewOf('b', 2, {}), outcome: 'committed' } }),
    )
    expect(await slow).toMatchObject({ version: 2 })
    expect(await behind).toMatchObject({ version: 3 })
    await until(() => server.sockets[0]?.readyState === WebSocket.CLOSED)
    expect(states).toEqual(['open'])
  })

  it('does not wait for its time to go when the connection that it was to leave is lost', async () => {
    const client = connect()
    await until(isOpen(client))
    server.notify(0, 'goAway', { afterMs: 60_000, jitterMs: 0 })
    // What comes behind it was heard too.
    expect(await client.getSession('a')).toEqual({})
    server.sockets[0]?.terminate()
    await until(() => server.sockets.length === 2)
    await until(isOpen(client))
  })

  it('finds that nothing comes any more, and sends again what was not answered', async () => {
    const client = connect({ silenceMs: 60, probeTimeoutMs: 40 })
    server.answer = ({ params }, connection) =>
      connection === 0
        ? undefined
        : { result: { ...viewOf(String(params['id']), 2, {}), outcome: 'committed' } }
    expect(await client.updateSession('a', { type: 'ADD' })).toMatchObject({ version: 2 })
    const keys = server.of('updateSession').map(({ key }) => key)
    expect(keys.length).toBe(2)
    expect(keys[0]).toBe(keys[1])
    expect(server.asked.map(({ method }) => method)).toEqual([
      'updateSession',
      'unsubscribe',
      'updateSession',
    ])
  })

  it('asks nothing of a server of which nothing is awaited', async () => {
    const client = connect({ silenceMs: 20, probeTimeoutMs: 20 })
    await until(isOpen(client))
    await sleepMs(100)
    expect(server.asked).toEqual([])
  })

  it('gives up on a server that takes the connection and says nothing', async () => {
    let accepted = 0
    const mute = createServer(() => accepted++).listen(0, '127.0.0.1')
    await until(() => mute.address() !== null)
    const { port } = mute.address() as { port: number }
    const client = connect({ url: `ws://127.0.0.1:${String(port)}`, connectTimeoutMs: 30 })
    await until(() => accepted > 2)
    client.close()
    mute.close()
  })

  it('brings its token as a subprotocol, and a fresh one each time', async () => {
    let tokens = 0
    const client = connect({ token: async () => `t${String(++tokens)}` })
    await until(isOpen(client))
    server.sockets[0]?.close(4000)
    await until(() => server.protocols.length === 2)
    expect(server.protocols).toEqual(['troupe.v1,bearer.t1', 'troupe.v1,bearer.t2'])
  })

  it('tries again when there was no token', async () => {
    let tries = 0
    const client = connect({ token: () => (++tries < 3 ? Promise.reject(new Error('no')) : 'yes') })
    await until(isOpen(client))
    expect(tries).toBe(3)
  })

  it('says that there is no such address', async () => {
    const client = connect({ url: 'http://[' })
    await expect(client.getSession('a')).rejects.toMatchObject({ code: 'closed', message: /cannot connect/ })
  })

  it('waits longer and longer, with any part of it left to chance', () => {
    const backoff = { minMs: 250, maxMs: 10_000 }
    expect([0, 1, 2, 5, 6, 99].map((tries) => waitMs(backoff, tries, () => 1))).toEqual([
      250, 500, 1000, 8000, 10_000, 10_000,
    ])
    expect(waitMs(backoff, 5, () => 0)).toBe(0)
  })

  it('waits longer also when each connection opens and is closed at once', async () => {
    server.answer = () => undefined
    const client = connect({ backoff: { minMs: 40, maxMs: 1000 }, random: () => 1 })
    const waits: number[] = []
    client.status.subscribe((status) => {
      if (status.state === 'waiting') waits.push(status.retryInMs)
      if (status.state === 'open') setTimeout(() => server.sockets.at(-1)?.close(4000), 1)
    })
    await until(() => waits.length >= 3)
    expect(waits.slice(0, 3)).toEqual([40, 80, 160])
  })
})

describe('requests of a client', () => {
  it('are sent again when they were refused for the moment, and not overtaken', async () => {
    const client = connect()
    const refused = ['unavailable', 'contention', 'rate_limited']
    server.answer = ({ params }) => {
      const word = refused.shift()
      if (word !== undefined) return refusal(word, true, word === 'rate_limited' ? { retryAfterMs: 5 } : {})
      return {
        result: { ...viewOf('a', 2, {}), outcome: 'committed', n: (params['event'] as { n: number }).n },
      }
    }
    await Promise.all([0, 1, 2].map((n) => client.updateSession('a', { type: 'ADD', n })))
    expect(server.of('updateSession').map(({ event }) => (event as { n: number }).n)).toEqual([
      0, 0, 0, 0, 1, 2,
    ])
    expect(new Set(server.of('updateSession').map(({ key }) => key)).size).toBe(3)
  })

  it('fail at once at a limit that no waiting helps against: a subscription too many is not hoped for in silence', async () => {
    server.answer = () => refusal('rate_limited', true)
    const client = connect()
    await expect(client.session('a').updates().next()).rejects.toMatchObject({ code: 'rate_limited' })
    expect(server.asked).toHaveLength(1)
  })

  it('tell the reason when it was the same until the end', async () => {
    server.answer = () => refusal('unavailable', true)
    const client = connect(FOUR_TRIES)
    await until(isOpen(client))
    await expect(client.updateSession('a', { type: 'ADD' })).rejects.toMatchObject({ code: 'unavailable' })
    expect(server.of('updateSession').length).toBeGreaterThan(1)
  })

  it('stay in doubt once one try may have been applied', async () => {
    const answers = [refusal('timeout', true, { outcome: 'unknown' }), refusal('unavailable', true)]
    server.answer = () => answers.shift() ?? answers[0] ?? refusal('unavailable', true)
    const client = connect(FOUR_TRIES)
    await until(isOpen(client))
    await expect(client.updateSession('a', { type: 'ADD' })).rejects.toMatchObject({
      code: 'timeout',
      outcome: 'unknown',
    })
  })

  it('go to another connection when this one is draining', async () => {
    server.answer = (_asked, connection) =>
      connection === 0
        ? refusal('draining', true)
        : { result: { ...viewOf('a', 2, {}), outcome: 'committed' } }
    expect(await connect().updateSession('a', { type: 'ADD' })).toMatchObject({ version: 2 })
  })

  it('of different sessions do not wait for each other', async () => {
    server.answer = ({ params }) => (params['id'] === 'a' ? undefined : { result: null })
    const client = connect()
    void client.getSession('a').catch(() => undefined)
    expect(await client.getSession('b')).toBeNull()
  })

  it('go out together where that is allowed, and again in their order after a loss', async () => {
    server.answer = (_asked, connection) =>
      connection === 0 ? undefined : { result: { ...viewOf('a', 2, {}), outcome: 'committed' } }
    const client = connect({ maxInFlightPerSession: 2 })
    const sent = [0, 1, 2].map((n) => client.updateSession('a', { type: 'ADD', n }))
    await until(() => server.asked.length === 2)
    server.sockets[0]?.terminate()
    await Promise.all(sent)
    expect(server.of('updateSession').map(({ event }) => (event as { n: number }).n)).toEqual([0, 1, 0, 1, 2])
  })

  it('are as many as are allowed to wait', async () => {
    server.answer = () => undefined
    const client = connect({ maxQueued: 3 })
    const waiting = [1, 2, 3].map(() => client.updateSession('a', { type: 'ADD' }).catch(() => undefined))
    await expect(client.updateSession('a', { type: 'ADD' })).rejects.toMatchObject({
      code: 'queue_full',
      outcome: 'not_applied',
    })
    client.close()
    await Promise.all(waiting)
  })

  it('are sent as they were when they were made', async () => {
    server.answer = () => ({ result: { ...viewOf('a', 2, {}), outcome: 'committed' } })
    const event = { type: 'ADD', n: 1 }
    const sending = connect().updateSession('a', event)
    event.n = 2
    await sending
    expect(server.of('updateSession')[0]?.['event']).toEqual({ type: 'ADD', n: 1 })
  })

  it('that are too large fail alone', async () => {
    server.answer = ({ params }) => {
      if (JSON.stringify(params).length < 1000)
        return { result: { ...viewOf('a', 2, {}), outcome: 'committed' } }
      server.sockets.at(-1)?.close(1009)
      return undefined
    }
    const client = connect()
    const large = { type: 'ADD', text: 'é'.repeat(2000) }
    const both = [client.updateSession('a', large), client.updateSession('a', { type: 'ADD' })]
    await expect(both[0]).rejects.toMatchObject({ code: 'too_large' })
    expect(await both[1]).toMatchObject({ version: 2 })
    await expect(connect({ maxFrameBytes: 3000 }).updateSession('a', large)).rejects.toMatchObject({
      code: 'too_large',
    })
    expect(server.of('updateSession').length).toBe(2)
  })

  it('that wait for long do not keep others back', async () => {
    server.answer = ({ method }) => (method === 'waitFor' ? undefined : { result: null })
    const client = connect()
    const waiting = Array.from({ length: 300 }, () =>
      client.waitFor('a', { done: true }, { timeoutMs: 500 }).catch((error: unknown) => error),
    )
    expect(await client.getSession('a')).toBeNull()
    expect(server.of('waitFor').length).toBeLessThan(128)
    expect((await Promise.all(waiting))[299]).toMatchObject({ code: 'timeout' })
  })

  it('wait for what is left of their time after a loss', async () => {
    server.answer = (_asked, connection) => (connection === 0 ? undefined : { result: viewOf('a', 2, {}) })
    const client = connect()
    const began = performance.now()
    const waiting = client.waitFor('a', { done: true }, { timeoutMs: 5000 })
    await until(() => server.asked.length === 1)
    const toConnectMs = performance.now() - began
    await sleepMs(100)
    server.sockets[0]?.terminate()
    await waiting
    const [first = 0, second = 0, ...others] = server.of('waitFor').map(({ timeoutMs }) => Number(timeoutMs))
    expect(others).toEqual([])
    // By as much as has passed, on the clock of this machine, give or take a millisecond.
    expect(first).toBeGreaterThan(5000 - toConnectMs - 2)
    expect(first).toBeLessThanOrEqual(5000)
    expect(second).toBeLessThan(first - 98)
    expect(second).toBeGreaterThan(5000 - (performance.now() - began) - 2)
  })
})
