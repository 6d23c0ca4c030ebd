/** Subscriptions with `delta`: what the client holds is patched, and is the view that others get whole. */
import { applyPatch } from 'rfc6902'
import type { Operation } from 'rfc6902'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { notifications } from '../../transport/protocol/messages.ts'
import { gatekeeper, tokenOf } from './auth/tokens.ts'
import { makeRecord, makeUpdate } from './support/parts.ts'
import { startRig, until, type Rig } from './support/gateway-rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await startRig()
})
afterEach(async () => {
  await rig.stop()
})

type Client = Awaited<ReturnType<Rig['connect']>>
type View = Record<string, unknown> & { version: number }

const filler = 'x'.repeat(500)

/** What the client has in the end, if it does what the protocol says. */
function heldBy(client: Client): { view: View | null; patches: number; wholes: number } {
  let view: View | null = null
  let [patches, wholes] = [0, 0]
  for (const { method, params, result } of client.received) {
    const reply = (result?.['session'] ?? (result?.['version'] === undefined ? null : result)) as View | null
    if (reply !== null) view = reply
    if (method !== 'sessionUpdated' || params === undefined) continue
    expect(notifications.sessionUpdated.params.safeParse(params).error).toBeUndefined()
    if ('patch' in params) {
      patches++
      expect(params['baseVersion']).toBe(view?.version)
      const copy = structuredClone(view) as View
      for (const failure of applyPatch(copy, params['patch'] as Operation[])) expect(failure).toBeNull()
      expect(copy).toMatchObject({ epoch: params['epoch'], version: params['version'] })
      view = copy
    } else {
      wholes++
      const whole = { ...params } as View
      Reflect.deleteProperty(whole, 'events')
      view = whole
    }
  }
  if (view !== null)
    for (const extra of ['outcome', 'applied', 'created']) Reflect.deleteProperty(view, extra)
  return { view, patches, wholes }
}

async function created(): Promise<string> {
  const owner = await rig.connect()
  const { result } = await owner.call('createSession', {
    machine: 'counter',
    id: 'a',
    input: { filler, n: 1 },
  })
  return String(result?.['epoch'])
}

/** Versions that another process has made. */
function pass(
  epoch: string,
  from: number,
  to: number,
  context: (n: number) => object = (n) => ({ filler, n }),
): void {
  for (let version = from; version <= to; version++)
    rig.feed.onMessage(makeUpdate(makeRecord('a', version, epoch, context(version)), 'there'))
}

describe('a subscription with delta', () => {
  it('FD2 gets patches from the view in its reply on, and holds what others get whole', async () => {
    const epoch = await created()
    const [patched, whole] = [await rig.connect(), await rig.connect()]
    await patched.call('subscribe', { id: 'a', delta: true })
    await whole.call('subscribe', { id: 'a' })
    pass(epoch, 2, 20)
    await until(() => heldBy(whole).view?.version === 20 && heldBy(patched).view?.version === 20)
    expect(heldBy(patched)).toMatchObject({ patches: 19, wholes: 0 })
    expect(heldBy(whole)).toMatchObject({ patches: 0, wholes: 19 })
    expect(heldBy(patched).view).toEqual(heldBy(whole).view)
  })

  it('begins with a whole view when its `since` is current: what the client had may have been made for another principal', async () => {
    const epoch = await created()
    const client = await rig.connect()
    const { result } = await client.call('subscribe', { id: 'a', since: { epoch, version: 1 }, delta: true })
    expect(result).toEqual({ recovered: true, session: null })
    pass(epoch, 2, 3)
    await until(() => client.notified('sessionUpdated').length === 2)
    const [first, second] = client.notified('sessionUpdated')
    expect(first).toMatchObject({ version: 2, context: { n: 2 } })
    expect(second).toMatchObject({ version: 3, baseVersion: 2 })
  })

  it('goes on from a view that came in a reply', async () => {
    const epoch = await created()
    const [client, other] = [await rig.connect(), await rig.connect()]
    await client.call('subscribe', { id: 'a', delta: true })
    await client.call('updateSession', { id: 'a', event: { type: 'ADD' } })
    await other.call('updateSession', { id: 'a', event: { type: 'ADD', filler } })
    pass(epoch, 4, 5, (n) => ({ last: { type: 'ADD', filler }, n }))
    await until(() => heldBy(client).view?.version === 5)
    expect(heldBy(client).patches).toBeGreaterThan(0)
    expect(heldBy(client).view).toMatchObject({ context: { n: 5 } })
  })

  it('gets the whole view when its definition has another version: what it has may have been shown by the older one', async () => {
    const epoch = await created()
    const client = await rig.connect()
    await client.call('subscribe', { id: 'a', delta: true })
    for (const version of [2, 3])
      rig.feed.onMessage(
        makeUpdate(
          { ...makeRecord('a', version, epoch, { filler, n: version }), machineVersion: 2 },
          'there',
        ),
      )
    await until(() => heldBy(client).view?.version === 3)
    expect(heldBy(client)).toMatchObject({ patches: 1, wholes: 1 })
  })

  it('gets the whole view where that is smaller, and after versions that it was not told of', async () => {
    const epoch = await created()
    const client = await rig.connect()
    await client.call('subscribe', { id: 'a', delta: true })
    pass(epoch, 2, 2, () => ({ other: true }))
    await until(() => heldBy(client).view?.version === 2)
    expect(heldBy(client)).toMatchObject({ patches: 0, wholes: 1 })
    rig.service.sessions.set('a', makeRecord('a', 5, epoch, { filler, n: 5 }))
    // Versions 3 and 4 never come: it is read again.
    pass(epoch, 5, 5)
    await until(() => heldBy(client).view?.version === 5)
    pass(epoch, 6, 6)
    await until(() => heldBy(client).view?.version === 6)
    expect(heldBy(client).view).toMatchObject({ context: { n: 6 } })
  })

  it('FD3 that reads slowly gets a whole view when it skips some', async () => {
    const slowRig = await startRig({ maxBufferedBytes: 64 * 1024, maxBacklogBytes: 16 * 1024 * 1024 })
    try {
      const client = await slowRig.connect()
      const { result } = await client.call('createSession', {
        machine: 'counter',
        id: 'a',
        input: { filler },
      })
      await client.call('subscribe', { id: 'a', delta: true })
      client.socket.pause()
      const texts = (n: number): object => ({ filler, text: String(n).repeat(20_000) })
      for (let version = 2; version <= 400; version++) {
        const record = makeRecord('a', version, String(result?.['epoch']), texts(version))
        slowRig.feed.onMessage(makeUpdate(record, 'there'))
        if (version % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      client.socket.resume()
      await until(() => heldBy(client).view?.version === 400)
      expect(heldBy(client).patches + heldBy(client).wholes).toBeLessThan(398)
      expect(heldBy(client).view).toMatchObject({ context: texts(400) })
    } finally {
      await slowRig.stop()
    }
  }, 30_000)

  it('TR2 gets the whole view once its client has another token, by which it may be shown something else', async () => {
    const own = await startRig({}, undefined, { gatekeeper: gatekeeper() })
    try {
      const encode = own.service.encodeView.bind(own.service)
      own.service.encodeView = (record, principal) =>
        `${encode(record, principal).slice(0, -1)},"team":${JSON.stringify(principal?.claims?.['team'] ?? null)}}`
      const tokenFor = (team: string) => tokenOf('ada', { claims: { team } })
      const client = await own.connect({ headers: { Authorization: `Bearer ${await tokenFor('red')}` } })
      const { result } = await client.call('createSession', {
        machine: 'counter',
        id: 'a',
        input: { filler, n: 1 },
      })
      await client.call('subscribe', { id: 'a', delta: true })
      const news = (n: number) =>
        own.feed.onMessage(makeUpdate(makeRecord('a', n, String(result?.['epoch']), { filler, n }), 'there'))
      news(2)
      await until(() => heldBy(client).view?.version === 2)
      expect(heldBy(client)).toMatchObject({ patches: 1, view: { team: 'red' } })
      await client.call('authenticate', { token: await tokenFor('blue') })
      news(3)
      news(4)
      await until(() => client.notified('sessionUpdated').length === 3)
      const told = client.notified('sessionUpdated')
      expect(told[1]).toMatchObject({ version: 3, team: 'blue' })
      expect(told[2]).toMatchObject({ version: 4, baseVersion: 3 })
    } finally {
      await own.stop()
    }
  })

  it('compares two views once for all', async () => {
    const epoch = await created()
    const clients = await Promise.all(Array.from({ length: 5 }, () => rig.connect()))
    for (const client of clients) await client.call('subscribe', { id: 'a', delta: true })
    const encoded: number[] = []
    const encode = rig.service.encodeView.bind(rig.service)
    rig.service.encodeView = (record, principal) => {
      encoded.push(record.version)
      return encode(record, principal)
    }
    pass(epoch, 2, 4)
    await until(() => clients.every((client) => heldBy(client).view?.version === 4))
    // The first one is of the base, which was in replies only.
    expect(encoded.sort()).toEqual([1, 2, 3, 4])
  })
})
