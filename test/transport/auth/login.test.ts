import { WebSocket } from 'ws'
import { afterEach, describe, expect, it } from 'vitest'
import type { GatewayLimits } from '../../../transport/gateway/limits.ts'
import type { RequestAuthenticator } from '../../../transport/auth/authenticator.ts'
import { Gatekeeper } from '../../../transport/auth/gatekeeper.ts'
import { startRig, type Rig } from '../support/gateway-rig.ts'
import { KeptLog } from '../support/parts.ts'
import { gatekeeper, tokenOf } from './tokens.ts'

type Connectable = Omit<Rig, 'connect'> & {
  readonly connect: (options?: Parameters<Rig['connect']>[0]) => ReturnType<Rig['connect']>
}

const rigs: Rig[] = []
async function rig(
  limits: Partial<GatewayLimits> = {},
  hook: RequestAuthenticator | null = null,
): Promise<Connectable> {
  const started = await startRig(limits, undefined, { gatekeeper: gatekeeper(hook) })
  rigs.push(started)
  return { ...started, connect: (options) => started.connect(options) }
}
afterEach(async () => {
  for (const each of rigs.splice(0)) await each.stop()
})

/** How an upgrade is answered. */
function upgrade(
  port: number,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, [], { headers })
    socket.on('error', () => undefined)
    socket.on('open', () => {
      socket.terminate()
      resolve({ status: 101, body: '' })
    })
    socket.on('unexpected-response', (_request, response) => {
      let body = ''
      response.on('data', (data: Buffer) => (body += data.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
    })
  })
}

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` })

describe('authentication at the upgrade', () => {
  it('is by the Authorization header, and the principal is that of all calls', async () => {
    const { connect } = await rig()
    const client = await connect({ headers: bearer(await tokenOf('ada')) })
    const { result } = await client.call('createSession', { machine: 'counter', id: 'a' })
    expect(result).toMatchObject({ seenBy: 'ada' })
  })

  it('is by a subprotocol, where the server answers only its own', async () => {
    const { connect } = await rig()
    const client = await connect({ protocols: ['troupe.v1', `bearer.${await tokenOf('ada')}`] })
    expect(client.socket.protocol).toBe('troupe.v1')
    expect((await client.call('createSession', { machine: 'counter' })).result).toMatchObject({
      seenBy: 'ada',
    })
  })

  it('TR2 refuses a token that cannot be taken, with 401 and a sentence', async () => {
    const { port } = await rig()
    expect(await upgrade(port, bearer(await tokenOf('ada', { expiresIn: -5 })))).toEqual({
      status: 401,
      body: 'The token is refused: it has expired; get a new one.\n',
    })
    expect(await upgrade(port, { Authorization: 'Basic YTpi' })).toMatchObject({ status: 401 })
    expect(await upgrade(port, bearer(await tokenOf('ada')))).toMatchObject({ status: 101 })
  })

  it('asks the function of an embedding server first, and a token if that does not know', async () => {
    const seen: (string | undefined)[] = []
    const { connect, port } = await rig({}, ({ headers }) => {
      seen.push(headers.cookie)
      if (headers.cookie === 'broken') throw new Error('no such cookie')
      return headers.cookie === undefined ? null : { principal: { id: headers.cookie } }
    })
    const byCookie = await connect({ headers: { Cookie: 'grace' } })
    expect((await byCookie.call('createSession', { machine: 'counter' })).result).toMatchObject({
      seenBy: 'grace',
    })
    const byToken = await connect({ headers: bearer(await tokenOf('ada')) })
    expect((await byToken.call('createSession', { machine: 'counter' })).result).toMatchObject({
      seenBy: 'ada',
    })
    expect(await upgrade(port, { Cookie: 'broken' })).toMatchObject({ status: 401 })
    expect(seen).toEqual(['grace', undefined, 'broken'])
  })

  it('TR2 lets nobody in whom the function does not know, where no tokens are taken', async () => {
    const hook = async () => null
    const started = await startRig({}, undefined, {
      gatekeeper: new Gatekeeper({ tokens: null, hook, logger: new KeptLog() }),
    })
    rigs.push(started)
    expect(await upgrade(started.port)).toMatchObject({ status: 401 })
    expect(await upgrade(started.port, bearer(await tokenOf('ada')))).toMatchObject({ status: 401 })
  })

  it('that hangs is given up', async () => {
    const { port } = await rig({ authenticateWithinMs: 50 }, () => new Promise(() => undefined))
    expect(await upgrade(port)).toMatchObject({ status: 503 })
  })
})

describe('authentication by a request', () => {
  it('TR2 comes before everything but rpc.discover', async () => {
    const { connect, service } = await rig()
    const client = await connect()
    expect((await client.call('rpc.discover')).result).toHaveProperty('openrpc')
    for (const [method, params] of [
      ['createSession', { machine: 'counter' }],
      ['getSession', { id: 'a' }],
      ['subscribe', { id: 'a' }],
      ['nonsense', {}],
    ] as const) {
      expect((await client.call(method, params)).error?.data).toMatchObject({ code: 'unauthenticated' })
    }
    expect(service.calls).toEqual([])
    const token = await tokenOf('ada', { claims: { team: 'red' } })
    expect((await client.call('authenticate', { token })).result).toMatchObject({
      principal: { id: 'ada', claims: { team: 'red' } },
      expiresAt: expect.any(Number) as number,
    })
    expect((await client.call('createSession', { machine: 'counter' })).result).toMatchObject({
      seenBy: 'ada',
    })
  })

  it('says what is wrong with a token, and may be tried again', async () => {
    const { connect } = await rig()
    const client = await connect()
    const { error } = await client.call('authenticate', { token: 'nonsense' })
    expect(error).toMatchObject({
      message: expect.stringContaining('not a JSON Web Token') as string,
      data: { code: 'unauthenticated' },
    })
    expect((await client.call('authenticate', { token: await tokenOf('ada') })).error).toBeUndefined()
  })

  it('TR2 must come in time', async () => {
    const { connect } = await rig({ authenticateWithinMs: 100 })
    const late = await connect()
    const inTime = await connect()
    await inTime.call('authenticate', { token: await tokenOf('ada') })
    expect(await late.closed).toMatchObject({ code: 4501 })
    expect((await inTime.call('getSession', { id: 'a' })).error).toBeUndefined()
  })

  it('TR2 counts until the token expires, unless it is renewed', async () => {
    const { connect } = await rig()
    const lazy = await connect({ headers: bearer(await tokenOf('ada', { expiresIn: 2 })) })
    const renewing = await connect({ headers: bearer(await tokenOf('ada', { expiresIn: 2 })) })
    await renewing.call('authenticate', { token: await tokenOf('ada', { expiresIn: 60 }) })
    expect(await lazy.closed).toMatchObject({ code: 4502 })
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect((await renewing.call('getSession', { id: 'a' })).error).toBeUndefined()
  })

  it('TR2 is not for another principal on the same connection, nor for other rights', async () => {
    const { connect } = await rig()
    const client = await connect({ headers: bearer(await tokenOf('ada')) })
    const other = await client.call('authenticate', { token: await tokenOf('bob') })
    expect(other.error?.data).toMatchObject({ code: 'unauthenticated' })
    const bounds = { claims: { troupe: { session: 'a', actions: ['get'] } } }
    const bounded = await client.call('authenticate', { token: await tokenOf('ada', bounds) })
    expect(bounded.error?.data).toMatchObject({ code: 'unauthenticated' })
    expect((await client.call('createSession', { machine: 'counter' })).result).toMatchObject({
      seenBy: 'ada',
    })
  })

  it('is refused where nobody is asked', async () => {
    const started = await startRig()
    rigs.push(started)
    const client = await started.connect()
    expect((await client.call('authenticate', { token: 'x' })).error?.data).toMatchObject({
      code: 'invalid_request',
    })
  })
})

describe('clients that have not said who they are', () => {
  it('TR3 are limited in number, and the place is free again once they have', async () => {
    const { connect, port } = await rig({ maxUnauthenticated: 2 })
    const first = await connect()
    await connect()
    expect(await upgrade(port)).toMatchObject({ status: 503 })
    await first.call('authenticate', { token: await tokenOf('ada') })
    const third = await connect()
    expect(await upgrade(port)).toMatchObject({ status: 503 })
    third.socket.terminate()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await upgrade(port)).toMatchObject({ status: 101 })
  })
})
