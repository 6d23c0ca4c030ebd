import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { applyPatch } from 'rfc6902'
import type { Operation } from 'rfc6902'
import { assign, setup } from 'xstate'
import { defineSession } from '../../actors/define-session.ts'
import { matchSession } from '../../actors/lifecycles/match.ts'
import { createRuntime } from '../../runtime/index.ts'
import type { Runtime } from '../../runtime/index.ts'
import { redisUrl } from '../support/servers.ts'
import { TestClient, until } from '../transport/support/gateway-rig.ts'
import { SECRET, tokenOf } from '../transport/auth/tokens.ts'

interface Board {
  shared: number
  secrets: Record<string, number>
}

let views = 0
const machine = setup({
  types: {} as { context: Board; events: { type: 'ADD' } | { type: 'BREAK' } },
}).createMachine({
  context: { shared: 0, secrets: { red: 1, blue: 2 } },
  on: {
    ADD: { actions: assign({ shared: ({ context }) => context.shared + 1 }) },
    BREAK: { actions: assign({ shared: -1 }) },
  },
})
const teamOf = (principal: { claims?: Readonly<Record<string, unknown>> } | null): string =>
  String(principal?.claims?.['team'])
const board = defineSession({
  name: 'board',
  version: 1,
  machine,
  view: ({ context }, principal) => {
    views++
    return { shared: context.shared, secret: context.secrets[teamOf(principal)] ?? null }
  },
  viewKey: ({ context }, principal) => (context.shared < 0 ? (undefined as never) : teamOf(principal)),
})

const club = defineSession({
  name: 'club',
  version: 1,
  machine,
  presence: true,
  authorize: ({ principal }) => teamOf(principal) === 'red',
})

let runtime: Runtime
let server: Server
const clients: TestClient[] = []

beforeAll(async () => {
  runtime = await createRuntime({
    definitions: [board, club, matchSession],
    redisUrl: redisUrl(),
    keyPrefix: `test-${randomBytes(6).toString('hex')}`,
    authSecret: SECRET,
    logLevel: 'silent',
  })
  server = createServer()
  runtime.attach(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
})
afterAll(async () => {
  for (const client of clients) client.socket.terminate()
  await runtime.close({ deadlineMs: 1000 })
  server.close()
})

async function connect(who: string, team: string): Promise<TestClient> {
  const { port } = server.address() as AddressInfo
  const token = await tokenOf(who, { claims: { team } })
  const client = await TestClient.open(`ws://127.0.0.1:${port}/ws`, {
    headers: { Authorization: `Bearer ${token}` },
  })
  clients.push(client)
  return client
}

describe('views that principals share', () => {
  it('TR2 is made once for all with the same key, and each sees their own', async () => {
    const { id } = await runtime.createSession(board)
    const teams = ['red', 'blue', 'none'] as const
    const all = await Promise.all(
      Array.from({ length: 30 }, async (_, n) => {
        const client = await connect(`player-${n}`, teams[n % 3] ?? '')
        await client.call('subscribe', { id })
        return client
      }),
    )
    views = 0
    await runtime.updateSession(id, { type: 'ADD' })
    await until(() => all.every((client) => client.notified('sessionUpdated').length === 1))
    // One more for the reply to the one who made the update: code of this process, which is nobody.
    expect(views).toBeLessThanOrEqual(4)
    for (const [n, client] of all.entries())
      expect(client.notified('sessionUpdated')).toMatchObject([
        { version: 2, context: { shared: 1, secret: [1, 2, null][n % 3] } },
      ])
  })

  it('FD1 of a key that is none nobody gets a view, but is told of a gap, and the update is done', async () => {
    const { id } = await runtime.createSession(board)
    const client = await connect('ann', 'red')
    await client.call('subscribe', { id })
    await runtime.updateSession(id, { type: 'BREAK' })
    await until(() => client.notified('gap').length === 1)
    expect(client.notified('gap')).toEqual([{ id, dropped: 1 }])
    expect(client.notified('sessionUpdated')).toEqual([])
    expect(await runtime.getSession(id)).toMatchObject({ version: 2 })
  })

  it('TR2 a match shows each player their own hand alone', async () => {
    const input = { seats: 2, size: 3, turnMs: null, hand: 2, deck: [8, 7, 6, 5, 4, 3, 2, 1, 0] }
    const created = await runtime.createSession(matchSession, { input })
    const [ann, bob, cid] = await Promise.all(['ann', 'bob', 'cid'].map((who) => connect(who, '')))
    if (ann === undefined || bob === undefined || cid === undefined) throw new Error('not connected')
    const { id } = created
    for (const client of [ann, bob, cid]) await client.call('subscribe', { id })
    await ann.call('updateSession', { id, event: { type: 'JOIN', player: 'ann' } })
    await bob.call('updateSession', { id, event: { type: 'JOIN', player: 'bob' } })
    const seen = async (client: TestClient) => (await client.call('getSession', { id })).result?.['context']
    expect(await seen(ann)).toMatchObject({ deck: 5, hands: [[8, 6], 2] })
    expect(await seen(bob)).toMatchObject({ deck: 5, hands: [2, [7, 5]] })
    expect(await seen(cid)).toMatchObject({ deck: 5, hands: [2, 2] })
    await ann.call('updateSession', { id, event: { type: 'PLAY', player: 'ann', cell: 6 } })
    await until(() => cid.notified('sessionUpdated').length === 3)
    expect(cid.notified('sessionUpdated').at(-1)).toMatchObject({ context: { deck: 4, hands: [2, 2] } })
    expect(bob.notified('sessionUpdated').at(-1)).toMatchObject({ context: { hands: [2, [7, 5]] } })
  })

  it('FD1 a patch is of the view that its client was sent, though others who see alike now saw something else', async () => {
    const input = { seats: 3, size: 9, turnMs: null, hand: 3, deck: Array.from({ length: 81 }, (_, n) => n) }
    const { id } = await runtime.createSession(matchSession, { input })
    const [cid, ann] = [await connect('cid', ''), await connect('ann', '')]
    for (const player of ['ann', 'bob', 'dan']) await runtime.updateSession(id, { type: 'JOIN', player })
    const held = new Map<TestClient, unknown>()
    for (const client of [cid, ann]) {
      const { result } = await client.call('subscribe', { id, delta: true })
      held.set(client, structuredClone((result as { session: unknown }).session))
    }
    await runtime.updateSession(id, { type: 'PLAY', player: 'ann', cell: 0 })
    await runtime.updateSession(id, { type: 'LEAVE', player: 'ann' })
    await until(() => [cid, ann].every((client) => client.notified('sessionUpdated').length === 2))
    for (const client of [cid, ann]) {
      for (const { patch, ...whole } of client.notified('sessionUpdated'))
        if (patch === undefined) held.set(client, whole)
        else applyPatch(held.get(client), patch as Operation[])
      const { result } = await client.call('getSession', { id })
      expect(held.get(client)).toMatchObject({ context: result?.['context'] })
    }
  })

  it('TR2 whose new token has no right to a session any more hears no more of it, and is no member', async () => {
    const { id } = await runtime.createSession(club)
    const [ann, bob] = [await connect('ann', 'red'), await connect('bob', 'red')]
    for (const client of [ann, bob]) await client.call('subscribe', { id, presence: true })
    await bob.call('authenticate', { token: await tokenOf('bob', { claims: { team: 'blue' } }) })
    await ann.call('authenticate', { token: await tokenOf('ann', { claims: { team: 'red', age: 9 } }) })
    await runtime.broadcastToSession(id, 'secret')
    await until(() => ann.notified('sessionMessage').length === 1)
    await until(() => ann.notified('presenceChanged').length === 2)
    expect(ann.notified('presenceChanged').at(-1)).toMatchObject({ joined: [], left: [{ principal: 'bob' }] })
    expect(bob.notified('sessionEnded')).toMatchObject([{ id, reason: 'forbidden' }])
    expect(bob.notified('sessionMessage')).toEqual([])
    expect(bob.notified('presenceChanged')).toEqual([])
  })
})
