import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createClient, type Client, type ClientOptions } from '../../../transport/client/index.ts'
import { sleepMs, until } from '../../support/hosts.ts'
import { gatekeeper, tokenOf } from '../auth/tokens.ts'
import { startRig, type Rig } from '../support/gateway-rig.ts'
import { ScriptedServer, refusal } from './support/scripted-server.ts'

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

function connect(url: string, token: NonNullable<ClientOptions['token']>): Client {
  const client = createClient({ url, WebSocket, backoff: { minMs: 5, maxMs: 20 }, token })
  stops.push(() => client.close())
  return client
}

async function start(): Promise<{ rig: Rig; url: string; opened: () => number }> {
  const rig = await startRig({}, undefined, { gatekeeper: gatekeeper() })
  stops.push(() => rig.stop())
  let opened = 0
  rig.server.on('upgrade', () => opened++)
  return { rig, url: `ws://127.0.0.1:${rig.port}/ws`, opened: () => opened }
}

async function script(answer: ScriptedServer['answer']): Promise<ScriptedServer> {
  const server = await ScriptedServer.start()
  stops.push(() => server.stop())
  server.answer = answer
  return server
}

describe('a client with a function for its token', () => {
  it('TR2 renews it over the same connection, again and again, before it expires', async () => {
    const { url, opened } = await start()
    let given = 0
    const client = connect(url, () => {
      given++
      return tokenOf('ada', { expiresIn: 3 })
    })
    await client.createSession('counter', { id: 'a' })
    const phases: string[] = []
    client.session('a').subscribe((notice) => {
      if (notice.kind === 'phase') phases.push(notice.phase)
    })
    await sleepMs(5000)
    expect(await client.getSession('a')).toMatchObject({ seenBy: 'ada' })
    expect(opened()).toBe(1)
    expect(given).toBeGreaterThanOrEqual(3)
    expect(phases).toEqual(['joining', 'live'])
  })

  it('asks again when there is none, and comes back with a new one where the old one has expired', async () => {
    const { url, opened } = await start()
    let isAway = false
    let asked = 0
    const client = connect(url, () => {
      if (!isAway) return tokenOf('ada', { expiresIn: 4 })
      asked++
      throw new Error('the login service is away')
    })
    await client.createSession('counter', { id: 'a' })
    isAway = true
    await until(() => client.status.getSnapshot().state !== 'open', 8000)
    expect(asked).toBeGreaterThan(2)
    isAway = false
    expect(await client.getSession('a')).toMatchObject({ seenBy: 'ada' })
    expect(opened()).toBe(2)
  })

  it('tries again what the server refuses or cannot check, and takes no other connection for it', async () => {
    const answers = [
      { result: { principal: { id: 'ada' }, expiresAt: Date.now() + 1000 } },
      refusal('unauthenticated', false),
      refusal('unavailable', true),
      { result: { principal: { id: 'ada' }, expiresAt: null } },
    ]
    const server = await script(({ method }) =>
      method === 'authenticate' ? answers.shift() : { result: {} },
    )
    let count = 0
    connect(server.url, () => `t${++count}`)
    await until(() => answers.length === 0, 5000)
    await sleepMs(100)
    expect(server.of('authenticate').map(({ token }) => token)).toEqual(['t1', 't2', 't3', 't4'])
    expect(server.sockets).toHaveLength(1)
  })

  it('does not go on telling a server that asks nobody', async () => {
    const server = await script(() => refusal('invalid_request', false))
    const client = connect(server.url, () => 't')
    await until(() => server.of('authenticate').length === 1)
    await sleepMs(100)
    expect(server.of('authenticate')).toHaveLength(1)
    expect(client.status.getSnapshot().state).toBe('open')
  })

  it('stops with the client', async () => {
    const server = await script(() => ({ result: { expiresAt: Date.now() + 1100 } }))
    let count = 0
    const client = connect(server.url, () => `t${++count}`)
    await until(() => server.of('authenticate').length === 1)
    client.close()
    await sleepMs(1300)
    expect(count).toBe(1)
  })
})

describe('a client with one token for ever', () => {
  it('stays away once that has expired', async () => {
    const { url, opened } = await start()
    const client = connect(url, await tokenOf('ada', { expiresIn: 2 }))
    await until(() => client.status.getSnapshot().state === 'closed', 5000)
    expect(client.status.getSnapshot()).toMatchObject({ error: { data: { closeCode: 4502 } } })
    expect(opened()).toBe(1)
  })
})
