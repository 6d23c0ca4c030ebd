import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRuntime } from '../../runtime/index.ts'
import type { Runtime } from '../../runtime/index.ts'
import { redisUrl } from '../support/servers.ts'
import { TestClient, until } from '../transport/support/gateway-rig.ts'
import { EventClient, send } from '../transport/http/http-client.ts'
import { SECRET, tokenOf } from '../transport/auth/tokens.ts'
import { counterSession } from './host-machines.ts'
import { roomSession } from './room-session.ts'

interface Place {
  readonly runtime: Runtime
  readonly server: Server
  readonly port: number
}

const clients: TestClient[] = []
let here: Place
/** Another process, in all that matters. */
let there: Place
const room = roomSession()
/** Takes what anybody brings, and shows it to nobody. */
const dropbox = roomSession(({ action }) => action === 'create', 'dropbox')

beforeAll(async () => {
  const keyPrefix = `test-${randomBytes(6).toString('hex')}`
  const start = async (): Promise<Place> => {
    const runtime = await createRuntime({
      definitions: [room, dropbox, counterSession()],
      redisUrl: redisUrl(),
      keyPrefix,
      authSecret: SECRET,
      authAudience: 'rooms',
      logLevel: 'silent',
    })
    const server = createServer((request, response) => void runtime.handleHttp(request, response))
    runtime.attach(server)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return { runtime, server, port: (server.address() as AddressInfo).port }
  }
  ;[here, there] = await Promise.all([start(), start()])
})
afterAll(async () => {
  for (const client of clients) client.socket.terminate()
  for (const { runtime, server } of [here, there]) {
    await runtime.close({ deadlineMs: 1000 })
    server.close()
  }
})

async function connectWith(token: string, place = here): Promise<TestClient> {
  const client = await TestClient.open(`ws://127.0.0.1:${place.port}/ws`, {
    headers: { Authorization: `Bearer ${token}` },
  })
  clients.push(client)
  return client
}

const connect = async (who: string, place = here): Promise<TestClient> =>
  connectWith(await tokenOf(who, { claims: { aud: 'rooms' } }), place)

async function newRoom(): Promise<string> {
  return (await here.runtime.createSession(room, { input: { owner: 'ada', members: ['bob'] } })).id
}

describe('over HTTP', () => {
  it('TR2 the rule is asked of every route, with the principal of the token', async () => {
    const id = await newRoom()
    const ask = async (who: string | null, route: string, body?: unknown) => {
      const headers =
        who === null ? {} : { authorization: `Bearer ${await tokenOf(who, { claims: { aud: 'rooms' } })}` }
      return send(here.port, route, { headers, ...(body === undefined ? {} : { body }) })
    }
    const routes: [route: string, body?: unknown][] = [
      [`GET /sessions/${id}`],
      [`POST /sessions/${id}/events`, { type: 'SAY', text: 'hi' }],
      [`POST /sessions/${id}/messages`, 1],
      [`GET /sessions/${id}/updates`],
      [`GET /sessions/${id}/wait?until=${encodeURIComponent('{"done":true}')}&timeoutMs=100`],
      ['POST /sessions', { machine: 'room', input: { owner: 'ada' } }],
      [`DELETE /sessions/${id}`],
    ]
    for (const [route, body] of routes) {
      expect((await ask('eve', route, body)).status, route).toBe(403)
      expect((await ask(null, route, body)).status, route).toBe(401)
    }
    expect((await ask('bob', `GET /sessions/${id}`)).json).toMatchObject({ version: 1 })
  })

  it('TR2 a stream ends with the right to see it, and with the token', async () => {
    const id = await newRoom()
    const claims = { aud: 'rooms' }
    const open = async (token: string) =>
      EventClient.open(here.port, `/sessions/${id}/updates`, { authorization: `Bearer ${token}` })
    const bob = await open(await tokenOf('bob', { claims }))
    const brief = await open(await tokenOf('ada', { claims, expiresIn: 2 }))
    await here.runtime.updateSession(id, { type: 'DROP', who: 'bob' })
    await bob.ended
    expect(bob.named('sessionEnded')).toMatchObject([{ id, reason: 'forbidden' }])
    await brief.ended
    expect(brief.named('goAway')).toHaveLength(1)
  })
})

describe('over the wire', () => {
  it('TR2 the rule is asked with the principal of the token', async () => {
    const id = await newRoom()
    const [bob, eve] = [await connect('bob'), await connect('eve')]
    const event = { type: 'SAY', text: 'hi' }
    expect((await bob.call('updateSession', { id, event })).result).toMatchObject({ outcome: 'committed' })
    for (const [method, params] of [
      ['getSession', { id }],
      ['updateSession', { id, event }],
      ['deleteSession', { id }],
      ['broadcastToSession', { id, message: 1 }],
      ['subscribe', { id }],
      ['waitFor', { id, until: { done: true }, timeoutMs: 100 }],
      ['createSession', { machine: 'room', input: { owner: 'ada' } }],
    ] as const)
      expect((await eve.call(method, params)).error?.data, method).toMatchObject({ code: 'forbidden' })
    // Requests that are not answered are judged too.
    eve.send({ jsonrpc: '2.0', method: 'deleteSession', params: { id } })
    expect((await eve.call('getSession', { id: 'none' })).result).toBeNull()
    expect((await bob.call('getSession', { id })).result).toMatchObject({ version: 2 })
  })

  it.each(['here', 'there'])(
    'TR2 a subscriber that loses the right is told so, and hears nothing more: %s',
    async (where) => {
      const id = await newRoom()
      const place = where === 'here' ? here : there
      const [bob, ada] = [await connect('bob', place), await connect('ada', place)]
      await bob.call('subscribe', { id })
      await ada.call('subscribe', { id })
      const waiting = bob.call('waitFor', { id, until: { done: true }, timeoutMs: 20_000 })
      const owner = await connect('ada')
      await owner.call('updateSession', { id, event: { type: 'SAY', text: 'one' } })
      await until(() => bob.notified('sessionUpdated').length === 1)
      await owner.call('updateSession', { id, event: { type: 'DROP', who: 'bob' } })
      await owner.call('updateSession', { id, event: { type: 'SAY', text: 'two' } })
      await owner.call('broadcastToSession', { id, message: 'three' })
      await until(() => ada.notified('sessionMessage').length === 1)
      expect(ada.notified('sessionUpdated').length).toBeGreaterThan(1)
      await until(() => bob.notified('sessionEnded').length === 1)
      expect(bob.notified('sessionEnded')).toMatchObject([{ id, version: 3, reason: 'forbidden' }])
      expect(bob.notified('sessionUpdated')).toHaveLength(1)
      expect(bob.notified('sessionEmitted')).toEqual([])
      expect(bob.notified('sessionMessage')).toEqual([])
      expect((await waiting).error?.data).toMatchObject({ code: 'forbidden' })
      expect((await bob.call('subscribe', { id })).error?.data).toMatchObject({ code: 'forbidden' })
    },
  )

  it('TR2 a session that is created and may not be subscribed to says both', async () => {
    const eve = await connect('eve')
    const { error } = await eve.call('createSession', {
      machine: 'dropbox',
      input: { owner: 'eve' },
      id: 'box',
      subscribe: true,
    })
    expect(error?.data).toMatchObject({ code: 'forbidden', outcome: 'committed', id: 'box' })
    expect(await here.runtime.getSession('box')).toMatchObject({ version: 1 })
  })
})

describe('access tokens', () => {
  it('TR2 are for one session and some actions, on every way in', async () => {
    const [id, elsewhere] = [await newRoom(), await newRoom()]
    const token = await here.runtime.createAccessToken({
      session: id,
      principal: { id: 'bob', claims: { via: 'link' } },
      actions: ['get', 'subscribe'],
      ttlMs: 60_000,
    })
    const bob = await connectWith(token, there)
    expect((await bob.call('getSession', { id })).result).toMatchObject({ version: 1 })
    expect((await bob.call('subscribe', { id })).result).toMatchObject({ recovered: false })
    for (const [method, params] of [
      ['getSession', { id: elsewhere }],
      ['subscribe', { id: elsewhere }],
      ['updateSession', { id, event: { type: 'SAY', text: 'hi' } }],
      ['waitFor', { id, until: { done: true }, timeoutMs: 100 }],
      ['deleteSession', { id }],
      ['broadcastToSession', { id, message: 1 }],
      ['createSession', { machine: 'counter' }],
    ] as const)
      expect((await bob.call(method, params)).error?.data, method).toMatchObject({ code: 'forbidden' })
    // The bounds do not give what the rule does not.
    await here.runtime.updateSession(id, { type: 'DROP', who: 'bob' })
    expect((await bob.call('getSession', { id })).error?.data).toMatchObject({ code: 'forbidden' })
  })

  it('are not made of nonsense', async () => {
    const good = { session: 'a', principal: { id: 'bob' }, actions: ['get'], ttlMs: 1000 } as const
    for (const wrong of [
      { session: '' },
      { principal: { id: '' } },
      { actions: [] },
      { actions: ['fly' as 'get'] },
      { ttlMs: 0 },
      { ttlMs: NaN },
    ])
      await expect(here.runtime.createAccessToken({ ...good, ...wrong })).rejects.toMatchObject({
        code: 'invalid_params',
      })
  })
})
