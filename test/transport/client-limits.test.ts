import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import { afterEach, describe, expect, it } from 'vitest'
import { addressList, clientAddress, isAddressRange } from '../../transport/gateway/client-address.ts'
import type { GatewayLimits } from '../../transport/gateway/limits.ts'
import { TokenBucket } from '../../transport/gateway/token-bucket.ts'
import { startRig, until, type Rig } from './support/gateway-rig.ts'
import { ManualClock } from './support/manual-clock.ts'

const rigs: Rig[] = []
async function start(limits: Partial<GatewayLimits>, proxies: readonly string[] = []): Promise<Rig> {
  const rig = await startRig(limits, undefined, { proxies: addressList(proxies) })
  rigs.push(rig)
  return rig
}
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.stop()
})

describe('requests per second', () => {
  it('TR3 beyond them are refused and not run, and say when to come again', async () => {
    const rig = await start({ maxRequestsPerSecond: 2, maxRequestBurst: 5 })
    const client = await rig.connect()
    const replies = await Promise.all(Array.from({ length: 8 }, () => client.call('getSession', { id: 'a' })))
    const ran = replies.filter(({ result }) => result === null).length
    // Some time passes meanwhile.
    expect(ran).toBeGreaterThanOrEqual(5)
    expect(ran).toBeLessThan(8)
    const refused = replies.find(({ error }) => error !== undefined)?.error
    expect(refused?.data).toMatchObject({ code: 'rate_limited', retryable: true })
    const { retryAfterMs } = refused?.data as { retryAfterMs: number }
    expect(retryAfterMs).toBeGreaterThan(0)
    expect(retryAfterMs).toBeLessThanOrEqual(500)
    expect(rig.service.calls).toHaveLength(ran)
    await new Promise((resolve) => setTimeout(resolve, retryAfterMs + 20))
    expect((await client.call('getSession', { id: 'a' })).result).toBeNull()
  })

  it('TR3 count each request of a batch, and drop those that are not answered', async () => {
    const rig = await start({ maxRequestsPerSecond: 0.01, maxRequestBurst: 3 })
    const client = await rig.connect()
    client.send(
      Array.from({ length: 5 }, () => ({ jsonrpc: '2.0', method: 'getSession', params: { id: 'a' } })),
    )
    const { error } = await client.call('getSession', { id: 'b' })
    expect(error?.data).toMatchObject({ code: 'rate_limited' })
    await until(() => rig.service.calls.length === 3)
    client.send('garbage')
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(client.frames).toHaveLength(1)
  })

  it('may come in a burst and then at their rate', async () => {
    const clock = new ManualClock()
    const bucket = new TokenBucket({ clock, perSecond: 10, burst: 2 })
    expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([0, 0, 100])
    await clock.pass(50)
    expect(bucket.take()).toBe(50)
    await clock.pass(50)
    expect([bucket.take(), bucket.take()]).toEqual([0, 100])
    await clock.pass(60_000)
    expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([0, 0, 100])
  })

  it('have no limit where it is 0', async () => {
    const rig = await start({ maxRequestsPerSecond: 0, maxRequestBurst: 1 })
    const client = await rig.connect()
    const replies = await Promise.all(
      Array.from({ length: 50 }, () => client.call('getSession', { id: 'a' })),
    )
    expect(replies.every(({ error }) => error === undefined)).toBe(true)
  })
})

describe('sessions that one connection creates', () => {
  it('TR3 are limited, and what is not created does not count', async () => {
    const rig = await start({ maxSessionsPerConnection: 2 })
    const client = await rig.connect()
    const create = async (id: string, more: object = {}) => {
      const { result, error } = await client.call('createSession', { machine: 'counter', id, ...more })
      return result?.['created'] ?? error?.data['code']
    }
    expect(await create('a')).toBe(true)
    expect(await create('a')).toBe('session_exists')
    expect(await create('a', { ifExists: 'return' })).toBe(false)
    expect(await create('b')).toBe(true)
    expect(await create('c')).toBe('rate_limited')
    expect(rig.service.sessions.size).toBe(2)
    const other = await rig.connect()
    expect((await other.call('createSession', { machine: 'counter' })).result).toMatchObject({
      created: true,
    })
  })
})

describe('frames that nest', () => {
  it('TR1 deeper than they may are refused', async () => {
    const rig = await start({ maxJsonDepth: 10 })
    const client = await rig.connect()
    const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)])
    expect((await client.call('getSession', { id: nested(8) })).error?.data['code']).toBe('invalid_params')
    client.send({ jsonrpc: '2.0', id: 9, method: 'getSession', params: { id: nested(9) } })
    expect((await client.reply(null)).error?.data['code']).toBe('parse_error')
  })
})

describe('connections per address', () => {
  const statusOf = async (rig: Rig, forwarded?: string): Promise<number> => {
    const headers = forwarded === undefined ? {} : { 'X-Forwarded-For': forwarded }
    const socket = new WebSocket(`ws://127.0.0.1:${rig.port}/ws`, { headers })
    socket.on('error', () => undefined)
    const [response] = (await Promise.race([
      once(socket, 'unexpected-response').then((args: unknown[]) => [args[1]]),
      once(socket, 'open').then(() => [{ statusCode: 101 }]),
    ])) as [{ statusCode: number }]
    socket.terminate()
    return response.statusCode
  }

  it('TR3 are limited, and one that closes makes room', async () => {
    const rig = await start({ maxConnectionsPerAddress: 2 })
    const first = await rig.connect()
    await rig.connect()
    expect(await statusOf(rig)).toBe(429)
    // What it says of itself does not count: it is no proxy that is believed.
    expect(await statusOf(rig, '9.9.9.9')).toBe(429)
    first.socket.terminate()
    await until(() => rig.gateway.connections === 1)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(await statusOf(rig)).toBe(101)
  })

  it('TR3 are counted by what a believed proxy says', async () => {
    const rig = await start({ maxConnectionsPerAddress: 1 }, ['127.0.0.0/8'])
    await rig.connect({ headers: { 'X-Forwarded-For': '9.9.9.9' } })
    expect(await statusOf(rig, '9.9.9.9')).toBe(429)
    expect(await statusOf(rig, '1.1.1.1, 9.9.9.9')).toBe(429)
    expect(await statusOf(rig, '9.9.9.8')).toBe(101)
  })
})

describe('the address of a client', () => {
  const proxies = addressList(['10.0.0.0/8', '::1', '2001:db8::/32'])
  const from = (remoteAddress: string, forwarded?: string, list = proxies): string =>
    clientAddress(
      { socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } } as unknown as IncomingMessage,
      list,
    )

  it('is the nearest that is no proxy', () => {
    expect(from('10.0.0.1', '6.6.6.6, 1.2.3.4, 10.9.9.9')).toBe('1.2.3.4')
    expect(from('::ffff:10.0.0.1', '1.2.3.4')).toBe('1.2.3.4')
    expect(from('::1', '[2001:db8::5]:443, fe80::1')).toBe('fe80::1')
    expect(from('10.0.0.1', '1.2.3.4:5678')).toBe('1.2.3.4')
    expect(from('10.0.0.1')).toBe('10.0.0.1')
    expect(from('10.0.0.1', '10.0.0.2')).toBe('10.0.0.2')
  })

  it('TR2 is not what somebody else says', () => {
    expect(from('7.7.7.7', '1.2.3.4')).toBe('7.7.7.7')
    expect(from('10.0.0.1', '1.2.3.4, nonsense')).toBe('10.0.0.1')
  })

  it('is in a list of addresses and ranges', () => {
    for (const good of ['10.0.0.1', '10.0.0.0/8', '::1', 'fe80::/10']) expect(isAddressRange(good)).toBe(true)
    for (const bad of ['', 'host', '10.0.0.0/33', '10.0.0.0/8/8', '10.0.0.0/', '::/129', '10.0.0/8'])
      expect(isAddressRange(bad)).toBe(false)
  })
})

describe('an idle connection', () => {
  it('TR3 is closed, and one with a subscription or requests is not', async () => {
    const rig = await start({ maxIdleMs: 700 })
    const [idle, subscribed, busy] = [await rig.connect(), await rig.connect(), await rig.connect()]
    await subscribed.call('createSession', { machine: 'counter', id: 'a', subscribe: true })
    const until = Date.now() + 1800
    while (Date.now() < until) {
      await busy.call('getSession', { id: 'a' })
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    expect(await idle.closed).toMatchObject({ code: 4003 })
    expect(rig.gateway.connections).toBe(2)
    await subscribed.call('unsubscribe', { id: 'a' })
    expect(await subscribed.closed).toMatchObject({ code: 4003 })
  })
})
