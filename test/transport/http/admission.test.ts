import { afterEach, describe, expect, it } from 'vitest'
import { TroupeError } from '../../../actors/errors.ts'
import { startRig, type Rig } from '../support/gateway-rig.ts'
import { EventClient, send } from './http-client.ts'

let rig: Rig
afterEach(async () => {
  await rig.stop()
})

const PAGE = 'http://localhost:5173'

describe('pages', () => {
  it('of this machine may ask and read, others may not', async () => {
    rig = await startRig()
    const get = (headers: Record<string, string>) => send(rig.port, 'GET /sessions/none', { headers })
    const mine = await get({ origin: PAGE })
    expect([mine.status, mine.headers['access-control-allow-origin'], mine.headers.vary]).toEqual([
      404,
      PAGE,
      'Origin',
    ])
    const theirs = await get({ origin: 'https://example.org' })
    expect([theirs.status, theirs.json['code'], theirs.headers['access-control-allow-origin']]).toEqual([
      403,
      'forbidden',
      undefined,
    ])
    expect(rig.service.calls).toHaveLength(1)
  })

  it('ask first what they may send', async () => {
    rig = await startRig({}, ['https://example.org'])
    const origin = 'https://example.org'
    const { status, headers } = await send(rig.port, 'OPTIONS /sessions/a/events', { headers: { origin } })
    expect(status).toBe(204)
    expect(headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'POST, OPTIONS',
      'access-control-expose-headers': expect.stringContaining('ETag') as string,
    })
    expect(headers['access-control-allow-headers']).toMatch(/Idempotency-Key.*If-Match/)
    expect((await send(rig.port, 'OPTIONS /sessions', { headers: { origin: PAGE } })).status).toBe(403)
  })

  it('whose name was made to point here are told by the name that they ask for', async () => {
    rig = await startRig({}, ['https://mine.example'])
    const status = async (host: string): Promise<number> =>
      (await send(rig.port, 'GET /sessions/none', { headers: { host } })).status
    for (const host of ['evil.example:7400', 'localhost.evil.example', '127.0.0.1.nip.io'])
      expect(await status(host), host).toBe(403)
    for (const host of ['localhost:7400', '127.0.0.1', '[::1]:7400', 'mine.example'])
      expect(await status(host), host).toBe(404)
  })

  it('may read streams too', async () => {
    rig = await startRig()
    await send(rig.port, 'POST /sessions', { body: { machine: 'counter', id: 'a' } })
    const client = await EventClient.open(rig.port, '/sessions/a/updates', { origin: PAGE })
    expect(client.response.headers).toMatchObject({
      'access-control-allow-origin': PAGE,
      'content-type': 'text/event-stream',
    })
    client.close()
  })
})

describe('authentication', () => {
  it('asks everybody, before the body is read', async () => {
    rig = await startRig({}, undefined, {
      authenticate: async ({ headers: { authorization } }) => {
        if (authorization === 'Bearer old') throw new TroupeError('unauthenticated', 'The token has expired.')
        return authorization === 'Bearer ada' ? { principal: { id: 'ada' }, expiresAt: null } : null
      },
    })
    const create = (headers: Record<string, string>, body: unknown) =>
      send(rig.port, 'POST /sessions', { headers, body })
    for (const headers of [{}, { authorization: 'Bearer old' }]) {
      const refused = await create(headers, '{')
      expect([refused.status, refused.json['code']]).toEqual([401, 'unauthenticated'])
      expect(refused.headers['www-authenticate']).toBe('Bearer')
    }
    const { status, json } = await create(
      { authorization: 'Bearer ada', host: 'anywhere.example' },
      { machine: 'counter', id: 'a' },
    )
    expect([status, json['seenBy']]).toEqual([201, 'ada'])
    const client = await EventClient.open(rig.port, '/sessions/a/updates', { authorization: 'Bearer ada' })
    expect(client.response.statusCode).toBe(200)
    client.close()
    expect((await send(rig.port, 'GET /sessions/a/updates')).status).toBe(401)
  })
})
