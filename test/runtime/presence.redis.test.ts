/** Presence on two processes that share a Redis, by clients of every kind. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import { connect as connectSocket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import type { PresenceMember } from '../../actors/presence.ts'
import { createRuntime } from '../../runtime/index.ts'
import type { Runtime } from '../../runtime/index.ts'
import { redisUrl } from '../support/servers.ts'
import { SECRET, tokenOf } from '../transport/auth/tokens.ts'
import { EventClient } from '../transport/http/http-client.ts'
import { KeptLog } from '../transport/support/parts.ts'
import { TestClient, until } from '../transport/support/gateway-rig.ts'
import { roomSession } from './room-session.ts'

interface Place {
  readonly runtime: Runtime
  readonly server: Server
  readonly port: number
}

const keyPrefix = `test-${randomBytes(6).toString('hex')}`
const log = new KeptLog()
const redis = new Redis(redisUrl())
const clients: TestClient[] = []
let here: Place
let there: Place

const room = defineSession({
  ...roomSession(),
  presence: (principal) => {
    if (principal?.id === 'bob') throw new Error('who is bob?')
    return principal?.id === 'cy' ? 'x'.repeat(2000) : { name: principal?.claims?.['name'] ?? '?' }
  },
})
const plain = roomSession(undefined, 'plain')

async function start(): Promise<Place> {
  const runtime = await createRuntime({
    definitions: [room, plain],
    redisUrl: redisUrl(),
    keyPrefix,
    authSecret: SECRET,
    authAudience: 'rooms',
    logger: log,
  })
  const server = createServer((request, response) => void runtime.handleHttp(request, response))
  runtime.attach(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { runtime, server, port: (server.address() as AddressInfo).port }
}

beforeAll(async () => {
  ;[here, there] = await Promise.all([start(), start()])
})
afterEach(() => {
  for (const client of clients.splice(0)) client.socket.terminate()
})
afterAll(async () => {
  for (const { runtime, server } of [here, there]) {
    await runtime.close({ deadlineMs: 1000 })
    server.close()
  }
  redis.disconnect()
})

const token = (who: string): Promise<string> => tokenOf(who, { claims: { aud: 'rooms', name: `N ${who}` } })

async function connect(who: string, place = here): Promise<TestClient> {
  const headers = { Authorization: `Bearer ${await token(who)}` }
  const client = await TestClient.open(`ws://127.0.0.1:${place.port}/ws`, { headers })
  clients.push(client)
  return client
}

async function newRoom(definition = room): Promise<string> {
  const input = { owner: 'ada', members: ['bob', 'cy', 'dan'] }
  return (await here.runtime.createSession(definition, { input })).id
}

/** Who a client knows to be there, by the reply and what was told after it. */
async function watch(client: TestClient, id: string): Promise<() => (string | null)[]> {
  const { result } = await client.call('subscribe', { id, presence: true })
  const list = (result?.['presence'] ?? []) as PresenceMember[]
  return () => {
    const members = new Map(list.map((member) => [member.client, member]))
    for (const { joined, left } of client.notified('presenceChanged')) {
      for (const member of joined as PresenceMember[]) members.set(member.client, member)
      for (const member of left as PresenceMember[]) members.delete(member.client)
    }
    return [...members.values()].map(({ principal }) => principal).sort()
  }
}

const list = (...names: string[]) => JSON.stringify(names)

describe('presence', () => {
  it('PR1 shows connections of both processes and streams of both, with what the definition says of them', async () => {
    const id = await newRoom()
    const ada = await connect('ada')
    const { result } = await ada.call('subscribe', { id, presence: true })
    expect(result).toEqual({
      recovered: false,
      session: expect.objectContaining({ id, version: 1 }) as unknown,
      presence: [{ client: result?.['client'], principal: 'ada', info: { name: 'N ada' } }],
      client: expect.stringMatching(/^[0-9a-f]{16}$/) as unknown,
    })
    const seen = await watch(ada, id)
    const bob = await connect('bob', there)
    await bob.call('subscribe', { id })
    const headers = { authorization: `Bearer ${await token('dan')}` }
    const dan = await EventClient.open(there.port, `/sessions/${id}/updates`, headers)
    // A callback of the process's own code is no client, nor is who waits.
    const leave = await here.runtime.subscribe(id, () => undefined)
    ada.request('waitFor', { id, until: { done: true }, timeoutMs: 300 })
    await until(() => JSON.stringify(seen()) === list('ada', 'bob', 'dan'))
    const joined = ada.notified('presenceChanged').flatMap((params) => params['joined'] as PresenceMember[])
    // What fails says nothing.
    expect(joined.find(({ principal }) => principal === 'bob')).not.toHaveProperty('info')
    expect(log.at('error')).toContain(
      'a presence function failed, so the member is shown without what it says',
    )
    dan.close()
    bob.socket.terminate()
    await until(() => JSON.stringify(seen()) === list('ada'))
    leave()
  })

  it('what a definition says of a member is at most 1 KiB', async () => {
    const id = await newRoom()
    const cy = await connect('cy')
    const { result } = await cy.call('subscribe', { id, presence: true })
    expect(result?.['presence']).toEqual([{ client: result?.['client'], principal: 'cy' }])
    expect(JSON.stringify(log.lines.map(({ details }) => details))).toContain('2002 bytes')
  })

  it('TR2 PR1 ends with the right to see the session, on another process too', async () => {
    const id = await newRoom()
    const [ada, bob] = [await connect('ada'), await connect('bob', there)]
    const seen = await watch(ada, id)
    await watch(bob, id)
    await until(() => JSON.stringify(seen()) === list('ada', 'bob'))
    await ada.call('updateSession', { id, event: { type: 'DROP', who: 'bob' } })
    await until(() => JSON.stringify(seen()) === list('ada'))
    const told = bob.notified('presenceChanged').length
    const eve = await connect('eve')
    expect((await eve.call('subscribe', { id, presence: true })).error?.data['code']).toBe('forbidden')
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(bob.notified('presenceChanged')).toHaveLength(told)
    expect(ada.notified('presenceChanged')).toHaveLength(2)
  })

  it('PR1 in a batch the list is as it is when the reply is sent', async () => {
    const id = await newRoom()
    const [ada, bob] = [await connect('ada'), await connect('bob', there)]
    ada.send([
      { jsonrpc: '2.0', id: 'list', method: 'subscribe', params: { id, presence: true } },
      {
        jsonrpc: '2.0',
        id: 'late',
        method: 'createSession',
        params: { machine: 'room', input: { owner: 'ada' } },
      },
    ])
    await until(() => ada.frames.length > 0)
    await bob.call('subscribe', { id })
    await until(() => ada.notified('presenceChanged').length > 0)
    const reply = ada.frames.map((frame) => JSON.parse(frame) as unknown).find(Array.isArray) as {
      id: string
      result: { presence: PresenceMember[] }
    }[]
    const members = reply.find((each) => each.id === 'list')?.result.presence ?? []
    const isBefore = ada.frames.findIndex((frame) => frame.includes('presenceChanged')) === 0
    expect(members.map(({ principal }) => principal)).toEqual(isBefore ? ['ada', 'bob'] : ['ada'])
  })

  it('leaves nothing behind: not with the end of the session, nor with the last to leave', async () => {
    const id = await newRoom()
    const [ada, bob] = [await connect('ada'), await connect('bob', there)]
    await watch(ada, id)
    await watch(bob, id)
    const key = (await redis.keys(`${keyPrefix}:*presence:${id}`))[0] ?? ''
    expect(await redis.hlen(key)).toBe(4)
    expect(await redis.pttl(key)).toBeGreaterThan(0)
    await ada.call('deleteSession', { id })
    await until(() => bob.notified('sessionEnded').length > 0)
    for (let n = 0; n < 100 && (await redis.exists(key)) === 1; n++)
      await new Promise((resolve) => setTimeout(resolve, 20))
    expect(await redis.exists(key)).toBe(0)
  })

  it('PR2 comes back after Redis has lost it', async () => {
    const id = await newRoom()
    const [ada, bob] = [await connect('ada'), await connect('bob', there)]
    const [a, b] = [await watch(ada, id), await watch(bob, id)]
    await until(() => JSON.stringify(a()) === list('ada', 'bob'))
    await redis.del((await redis.keys(`${keyPrefix}:*presence:${id}`))[0] ?? '')
    const key = async () => (await redis.keys(`${keyPrefix}:*presence:${id}`))[0]
    for (let n = 0; n < 300 && (await redis.hlen((await key()) ?? 'none')) < 4; n++)
      await new Promise((resolve) => setTimeout(resolve, 20))
    await until(() => [a, b].every((seen) => JSON.stringify(seen()) === list('ada', 'bob')))
  })

  it('PR3 of a session without presence Redis hears nothing', async () => {
    const id = await newRoom(plain)
    const monitor = await monitorRedis()
    const [ada, bob] = [await connect('ada'), await connect('bob', there)]
    for (const client of [ada, bob]) await client.call('subscribe', { id })
    expect((await ada.call('subscribe', { id, presence: true })).error?.data['code']).toBe('invalid_params')
    for (const client of [ada, bob]) client.socket.terminate()
    await new Promise((resolve) => setTimeout(resolve, 3500))
    const ours = monitor.stop().filter((command) => command.includes(keyPrefix))
    expect(ours.some((command) => command.includes(`session:${id}`))).toBe(true)
    expect(ours.filter((command) => command.includes(`presence:${id}`))).toEqual([])
  })

  it('LC2 a process that leaves in order takes its members along', async () => {
    const id = await newRoom()
    const third = await start()
    const [ada, bob] = [await connect('ada'), await connect('bob', third)]
    const seen = await watch(ada, id)
    await watch(bob, id)
    await until(() => JSON.stringify(seen()) === list('ada', 'bob'))
    await third.runtime.close({ deadlineMs: 2000 })
    third.server.close()
    await until(() => JSON.stringify(seen()) === list('ada'), 300)
  })
})

/** All commands of all clients, as Redis hears them; by hand, since ioredis stumbles over a server that is busy. */
async function monitorRedis(): Promise<{ stop(): string[] }> {
  const { hostname, port, password } = new URL(redisUrl())
  const socket = connectSocket(Number(port), hostname)
  let heard = ''
  socket.on('data', (bytes: Buffer) => (heard += bytes.toString('latin1')))
  if (password !== '') socket.write(`AUTH ${password}\r\n`)
  socket.write('MONITOR\r\n')
  await until(() => heard.includes('+OK') && heard.length > 0)
  return {
    stop() {
      socket.destroy()
      return heard.split('\r\n')
    },
  }
}
