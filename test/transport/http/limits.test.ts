import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { addressList } from '../../../transport/gateway/client-address.ts'
import type { GatewayLimits } from '../../../transport/gateway/limits.ts'
import { AddressRates } from '../../../transport/http/address-rates.ts'
import { startRig, until, type Rig } from '../support/gateway-rig.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { EventClient, send } from './http-client.ts'

let rig: Rig
afterEach(() => rig.stop())

async function start(limits: Partial<GatewayLimits>): Promise<void> {
  rig = await startRig(limits, undefined, { proxies: addressList(['127.0.0.0/8']) })
  await send(rig.port, 'POST /sessions', { body: { machine: 'counter', id: 'a' }, headers: from('0.0.0.1') })
}

const from = (address: string): Record<string, string> => ({ 'x-forwarded-for': address })
const get = (address: string) => send(rig.port, 'GET /sessions/a', { headers: from(address) })
const open = (address: string) => EventClient.open(rig.port, '/sessions/a/updates', from(address))

describe('requests per second of one address', () => {
  it('TR3 beyond them are 429 and not run, and say when to come again', async () => {
    await start({ maxRequestsPerSecond: 2, maxRequestBurst: 5 })
    const answers = await Promise.all(Array.from({ length: 9 }, () => get('1.1.1.1')))
    const ran = answers.filter(({ status }) => status === 200).length
    expect(ran).toBeGreaterThanOrEqual(5)
    expect(ran).toBeLessThan(9)
    expect(rig.service.calls.filter((call) => call === 'get a')).toHaveLength(ran)
    const refused = answers.find(({ status }) => status !== 200)
    expect(refused).toMatchObject({
      status: 429,
      headers: { 'retry-after': '1', 'content-type': 'application/problem+json' },
      json: {
        code: 'rate_limited',
        retryable: true,
        details: { retryAfterMs: expect.any(Number) as number },
      },
    })
    expect((await get('1.1.1.2')).status).toBe(200)
    const { retryAfterMs } = refused?.json['details'] as { retryAfterMs: number }
    await new Promise((resolve) => setTimeout(resolve, retryAfterMs + 50))
    expect((await get('1.1.1.1')).status).toBe(200)
  })

  it('TR3 count whatever is asked, and before it is looked who asks', async () => {
    let asked = 0
    rig = await startRig({ maxRequestsPerSecond: 0.01, maxRequestBurst: 2 }, undefined, {
      authenticate: async () => {
        asked++
        return null
      },
    })
    const statuses: number[] = []
    for (const line of ['OPTIONS /sessions', 'GET /sessions/a', 'GET /sessions/a', 'GET /openapi.json'])
      statuses.push((await send(rig.port, line)).status)
    expect(statuses).toEqual([204, 401, 429, 429])
    expect(asked).toBe(1)
  })

  it('TR3 are remembered for as long as they matter, and of a bounded number of addresses', async () => {
    await start({})
    const clock = new ManualClock()
    const rates = new AddressRates({ clock, maxRequestsPerSecond: 1, maxRequestBurst: 2 })
    expect([rates.take('a'), rates.take('a'), rates.take('a')]).toEqual([0, 0, 1000])
    await clock.pass(1500)
    expect([rates.take('a'), rates.take('a')]).toEqual([0, 500])
    await clock.pass(600)
    expect([rates.take('a'), rates.take('a')]).toEqual([0, 900])
    await clock.pass(2100)
    rates.take('b')
    await clock.pass(2100)
    rates.take('b')
    expect(rates.size).toBeLessThanOrEqual(2)
    for (let n = 0; n < 120_000; n++) rates.take(`many-${n}`)
    expect(rates.size).toBeLessThanOrEqual(50_000)
  })
})

describe('requests under way', () => {
  it('TR3 of one address, and of all, are limited', async () => {
    await start({ maxInFlight: 2, maxHttpRequests: 3 })
    rig.service.delayMs = () => 300
    const answers = [get('1.1.1.1'), get('1.1.1.1')]
    await until(() => rig.service.calls.filter((call) => call === 'get a').length === 2)
    const refused = await get('1.1.1.1')
    expect([refused.status, refused.json['code'], refused.headers['retry-after']]).toEqual([
      429,
      'rate_limited',
      '1',
    ])
    answers.push(get('1.1.1.2'))
    await until(() => rig.service.calls.filter((call) => call === 'get a').length === 3)
    const full = await get('1.1.1.3')
    expect([full.status, full.json['code'], full.headers['retry-after']]).toEqual([503, 'rate_limited', '1'])
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200])
    expect((await get('1.1.1.1')).status).toBe(200)
  })

  it('TR3 are over with their connection, also those that waited behind another one', async () => {
    await start({ maxInFlight: 12 })
    rig.service.delayMs = () => 50
    const request = (path: string) =>
      `GET /sessions/a${path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n`
    for (let n = 0; n < 5; n++) {
      const socket = connect(rig.port, '127.0.0.1')
      socket.write(request('').repeat(5) + request('/updates') + request('/wait?until=done'))
      await until(() => rig.api.connections === 2)
      socket.resetAndDestroy()
      await until(() => rig.api.connections === 0)
    }
    expect((await get('1.1.1.1')).status).toBe(200)
    await rig.api.drain({ deadlineMs: 60_000 })
  })

  it('are none that last', async () => {
    await start({ maxInFlight: 1, maxHttpRequests: 1 })
    const [client, waiting] = [
      await open('1.1.1.1'),
      send(rig.port, 'GET /sessions/a/wait?until=done&timeoutMs=200', { headers: from('1.1.1.1') }),
    ]
    await until(() => rig.api.connections === 2)
    expect((await get('1.1.1.1')).status).toBe(200)
    expect((await waiting).status).toBe(504)
    client.close()
  })

  it('TR3 whose body does not come in time are given up', async () => {
    await start({ bodyWithinMs: 100 })
    const socket = connect(rig.port, '127.0.0.1')
    let text = ''
    socket.on('data', (data: Buffer) => (text += data.toString()))
    socket.write(
      'POST /sessions/a/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"type"',
    )
    const drip = setInterval(() => socket.write(' '), 20)
    await new Promise<void>((resolve) => void socket.on('close', () => resolve()))
    clearInterval(drip)
    expect(text).toContain('HTTP/1.1 408')
    expect(text).toContain('"code":"timeout"')
    expect(rig.service.calls.some((call) => call.startsWith('update'))).toBe(false)
  })
})

describe('streams and waits', () => {
  it('TR3 of one address are limited, together with its sockets', async () => {
    await start({ maxConnectionsPerAddress: 2 })
    const socket = await rig.connect({ headers: from('1.1.1.1') })
    const client = await open('1.1.1.1')
    for (const path of ['updates', 'wait?until=done']) {
      const refused = await send(rig.port, `GET /sessions/a/${path}`, { headers: from('1.1.1.1') })
      expect([refused.status, refused.json['code'], refused.headers['retry-after']]).toEqual([
        429,
        'rate_limited',
        '1',
      ])
    }
    await expect(rig.connect({ headers: from('1.1.1.1') })).rejects.toThrow('429')
    ;(await open('1.1.1.2')).close()
    socket.socket.close()
    client.close()
    await until(() => rig.api.connections === 0 && rig.gateway.connections === 0)
    ;(await open('1.1.1.1')).close()
  })
})

describe('bodies', () => {
  it('TR1 that are too large, or nest too deep, are refused', async () => {
    await start({ maxFrameBytes: 2000, maxJsonDepth: 10 })
    const event = (state: unknown) =>
      send(rig.port, 'POST /sessions/a/events', { body: { type: 'ADD', state }, headers: from('1.1.1.1') })
    const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)])
    expect((await event('x'.repeat(1900))).status).toBe(200)
    expect((await event('x'.repeat(2000))).json).toMatchObject({ status: 413, code: 'too_large' })
    expect((await event(nested(9))).status).toBe(200)
    expect((await event(nested(10))).json).toMatchObject({ status: 400, code: 'parse_error' })
  })
})
