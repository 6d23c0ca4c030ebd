import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { ClientError, type ClientNotice, type ClientView } from '../../../transport/client/index.ts'
import { sleepMs, until } from '../../support/hosts.ts'
import { ClientRig, type list, type Served } from './support/client-rig.ts'

let rig: ClientRig
let here: Served
beforeEach(async () => {
  rig = new ClientRig()
  here = await rig.serve()
})
afterEach(async () => {
  await rig.stop()
})

const numbersTo = (last: number): number[] => Array.from({ length: last }, (_, n) => n)

describe('a client', () => {
  it('creates, sends, reads, waits, hears of others, and deletes', async () => {
    const client = rig.client(here.url)
    const created = await client.createSession('list', { id: 'a' })
    expect(created).toMatchObject({ created: true, id: 'a', version: 1 })
    const session = client.session(created.id)
    const notices: ClientNotice<ClientView<typeof list>>[] = []
    session.subscribe((notice) => notices.push(notice))
    await until(() => session.phase === 'live')

    const other = rig.client(here.url)
    expect(await other.session<typeof list>('a').send({ type: 'ADD', n: 7 })).toMatchObject({
      outcome: 'committed',
      applied: 2,
    })
    await until(() => session.getSnapshot()?.version === 2)
    expect(session.getSnapshot()?.context.numbers).toEqual([7])
    await other.broadcastToSession('a', { hello: 'all' })
    await until(() => notices.some(({ kind }) => kind === 'message'))
    expect(await client.getSession('a')).toMatchObject({ version: 2 })
    expect(await client.getSession('nobody')).toBeNull()

    const done = client.waitFor(created.id, { done: true }, { timeoutMs: 5000 })
    await other.session<typeof list>('a').send({ type: 'FINISH' })
    expect(await done).toMatchObject({ status: 'done' })
    await expect(session.send({ type: 'ADD', n: 8 })).rejects.toMatchObject({ code: 'session_ended' })

    expect(await other.deleteSession('a')).toBe(true)
    await until(() => session.phase === 'ended')
    expect(session.getSnapshot()).toBeNull()
    expect(notices.map(({ kind }) => kind)).toEqual([
      'phase',
      'updated',
      'phase',
      'emitted',
      'updated',
      'message',
      'updated',
      'ended',
      'phase',
    ])
    expect(notices.at(-2)).toMatchObject({ kind: 'ended', reason: 'deleted' })
  })

  it('FD1 FD2 with delta holds what others get whole, while its line is cut again and again', async () => {
    let patches = 0
    class Counting extends WebSocket {
      constructor(...args: ConstructorParameters<typeof WebSocket>) {
        super(...args)
        this.on('message', (data: Buffer) => void (patches += data.includes('"patch":') ? 1 : 0))
      }
    }
    const [patched, whole] = [
      rig.client(here.proxy.url, { delta: true, WebSocket: Counting }),
      rig.client(here.url),
    ]
    await whole.createSession('list', { id: 'a' })
    const [session, other] = [patched.session<typeof list>('a'), whole.session<typeof list>('a')]
    session.subscribe(() => undefined)
    other.subscribe(() => undefined)
    await until(() => session.phase === 'live' && other.phase === 'live')
    for (let n = 0; n < 150; n++) {
      await other.send({ type: 'ADD', n })
      if (n % 40 === 39) here.proxy.cut()
    }
    await until(() => session.getSnapshot()?.version === 151)
    expect(session.getSnapshot()).toEqual(other.getSnapshot())
    expect(patches).toBeGreaterThan(20)
  })

  it('has each update applied once, and in its order, while the line is cut again and again', async () => {
    const client = rig.client(here.proxy.url)
    await client.createSession('list', { id: 'a' })
    const session = client.session<typeof list>('a')
    const heard: number[] = []
    session.subscribe((notice) => {
      if (notice.kind === 'updated') heard.push(notice.session.version)
    })
    const sent = numbersTo(200).map((n) => session.send({ type: 'ADD', n }))
    const cutting = (async () => {
      for (let cuts = 0; cuts < 12; cuts++) {
        await sleepMs(15 + Math.random() * 30)
        // Every other time what was sent arrives, and its answer is lost.
        if (cuts % 2 === 0) {
          here.proxy.swallowReplies()
          await sleepMs(10)
          here.proxy.heal()
        } else here.proxy.cut()
      }
    })()
    const results = await Promise.all(sent)
    await cutting
    expect(results.map(({ applied }) => applied)).toEqual(numbersTo(200).map((n) => n + 2))
    expect(results.some(({ outcome }) => outcome === 'duplicate')).toBe(true)
    expect((await rig.client(here.url).getSession<typeof list>('a'))?.context.numbers).toEqual(numbersTo(200))
    await until(() => session.getSnapshot()?.version === 201)
    expect(heard).toEqual([...heard].sort((a, b) => a - b))
    expect(new Set(heard).size).toBe(heard.length)
  })

  it('creates one session though the answer was lost', async () => {
    const client = rig.client(here.proxy.url)
    await until(() => client.status.getSnapshot().state === 'open')
    here.proxy.swallowReplies()
    const creating = client.createSession('list')
    await until(() => here.proxy.swallowed > 0)
    here.proxy.heal()
    const { id, version } = await creating
    expect(version).toBe(1)
    expect(await rig.client(here.url).getSession(id)).toMatchObject({ version: 1 })
  })

  it('FD1 FD2 goes on from where it was after a loss, and says that messages may be missing', async () => {
    const client = rig.client(here.proxy.url)
    const { id } = await client.createSession('list', { id: 'a' })
    const session = client.session(id)
    const notices: ClientNotice<ClientView<typeof list>>[] = []
    session.subscribe((notice) => notices.push(notice))
    await until(() => session.phase === 'live')
    here.proxy.cut({ refusing: true })
    await until(() => session.phase === 'joining')
    const other = rig.client(here.url)
    for (const n of numbersTo(5)) await other.updateSession(id, { type: 'ADD', n })
    expect(session.getSnapshot()?.version).toBe(1)
    here.proxy.heal()
    await until(() => session.phase === 'live')
    expect(session.getSnapshot()?.version).toBe(6)
    expect(notices.filter(({ kind }) => kind === 'gap')).toEqual([{ kind: 'gap', dropped: 0 }])

    // Nothing was missed: no view comes twice.
    const before = session.getSnapshot()
    here.proxy.cut()
    await until(() => notices.filter(({ kind }) => kind === 'gap').length === 2)
    expect(session.getSnapshot()).toBe(before)
    await other.updateSession(id, { type: 'ADD', n: 5 })
    await until(() => session.getSnapshot()?.version === 7)
  })

  it('hears of an end that came while it was away', async () => {
    const client = rig.client(here.proxy.url)
    const { id } = await client.createSession('list', { id: 'a' })
    const session = client.session(id)
    const ends: unknown[] = []
    session.subscribe((notice) => {
      if (notice.kind === 'ended') ends.push(notice.reason)
    })
    await until(() => session.phase === 'live')
    here.proxy.cut({ refusing: true })
    await rig.client(here.url).deleteSession('a')
    here.proxy.heal()
    await until(() => session.phase === 'ended')
    expect(ends).toEqual(['lost'])
    // A new life of the id is followed again.
    await client.createSession('list', { id: 'a' })
    await until(() => session.phase === 'live')
    expect(session.getSnapshot()).toMatchObject({ version: 1 })
  })

  it('notices a line on which nothing comes through any more, and takes another', async () => {
    const client = rig.client(here.proxy.url, { silenceMs: 100, probeTimeoutMs: 100 })
    const { id } = await client.createSession('list', { id: 'a' })
    const session = client.session(id)
    session.subscribe(() => undefined)
    await until(() => session.phase === 'live')
    const states: string[] = []
    client.status.subscribe(({ state }) => states.push(state))
    // With an answer to the question, it stays.
    await sleepMs(400)
    expect(states).toEqual([])
    here.proxy.pause()
    const sending = session.send({ type: 'ADD', n: 1 })
    await until(() => states.includes('waiting'))
    here.proxy.heal()
    expect(await sending).toMatchObject({ applied: 2 })
    expect((await client.getSession(id))?.context.numbers).toEqual([1])
    expect(states).toContain('open')
  })

  it('tells of an update without an answer that it may have been applied, and with which key to ask again', async () => {
    const client = rig.client(here.proxy.url, { requestTimeoutMs: 300 })
    const { id } = await client.createSession('list', { id: 'a' })
    here.proxy.swallowReplies()
    const failed = await client.updateSession(id, { type: 'ADD', n: 1 }).catch((error: unknown) => error)
    expect(failed).toBeInstanceOf(ClientError)
    const { code, outcome, data } = failed as ClientError
    expect({ code, outcome }).toEqual({ code: 'timeout', outcome: 'unknown' })
    here.proxy.heal()
    const again = await client.updateSession(id, { type: 'ADD', n: 1 }, { key: String(data['key']) })
    expect(again).toMatchObject({ outcome: 'duplicate', applied: 2 })

    here.proxy.cut({ refusing: true })
    await until(() => client.status.getSnapshot().state !== 'open')
    await expect(client.updateSession(id, { type: 'ADD', n: 2 })).rejects.toMatchObject({
      code: 'timeout',
      outcome: 'not_applied',
    })
  })

  it('sends a message once or not at all', async () => {
    const client = rig.client(here.proxy.url)
    await client.createSession('list', { id: 'a' })
    here.proxy.swallowReplies()
    const saying = client.broadcastToSession('a', 'once').catch((error: unknown) => error)
    await until(() => here.proxy.swallowed > 0)
    here.proxy.heal()
    expect(await saying).toMatchObject({ code: 'timeout', outcome: 'unknown' })
  })

  it('LC2 moves to another process when its own leaves, and loses nothing', async () => {
    const there = await rig.serve()
    const client = rig.client(here.proxy.url)
    const { id } = await client.createSession('list', { id: 'a' })
    const session = client.session(id)
    session.subscribe(() => undefined)
    await until(() => session.phase === 'live')
    // As a load balancer does when a process leaves.
    here.proxy.redirect(there.url)
    const sent = numbersTo(100).map((n) => session.send({ type: 'ADD', n }))
    const leaving = here.runtime.close({ deadlineMs: 5000 })
    await Promise.all(sent)
    await leaving
    await rig.client(there.url).updateSession(id, { type: 'ADD', n: 100 })
    await until(() => session.getSnapshot()?.version === 102)
    expect(session.getSnapshot()?.context.numbers).toEqual(numbersTo(101))
  })
})

describe('what a session says', () => {
  it('comes as async iterables', async () => {
    const client = rig.client(here.proxy.url)
    const { id } = await client.createSession('list', { id: 'a' })
    const session = client.session(id)
    const versions: number[] = []
    const following = (async () => {
      for await (const view of session.updates()) {
        versions.push(view.version)
        if (view.version === 3) here.proxy.cut()
      }
    })()
    const messages: unknown[] = []
    const listening = (async () => {
      for await (const message of session.messages()) {
        messages.push(message)
        if (messages.length === 2) break
      }
    })()
    await until(() => session.phase === 'live')
    const other = rig.client(here.url)
    await other.broadcastToSession('a', 1)
    await other.broadcastToSession('a', 2)
    await listening
    for (const n of numbersTo(5)) {
      await other.updateSession(id, { type: 'ADD', n })
      await until(() => versions.at(-1) === n + 2)
    }
    await other.deleteSession('a')
    await following
    expect(versions).toEqual([1, 2, 3, 4, 5, 6])
    expect(messages).toEqual([1, 2])
  })

  it('is one and the same for all who ask, and ends on the server when nobody listens', async () => {
    const client = rig.client(here.url)
    const { id } = await client.createSession('list', { id: 'a' })
    expect(client.session(id)).toBe(client.session('a'))
    const ends = [
      client.session(id).subscribe(() => undefined),
      client.session(id).subscribe(() => undefined),
    ]
    const subscribed = async (): Promise<number> => (await here.runtime.health()).subscribedSessions
    await until(async () => (await subscribed()) === 1)
    ends[0]?.()
    await sleepMs(200)
    expect(await subscribed()).toBe(1)
    ends[1]?.()
    await until(async () => (await subscribed()) === 0)
  })

  it('is that there is no such session', async () => {
    const session = rig.client(here.url).session('nobody')
    await expect(session.updates().next()).rejects.toMatchObject({ code: 'not_found' })
    expect(session.phase).toBe('missing')
  })

  it('ends with the client', async () => {
    const client = rig.client(here.url)
    const { id } = await client.createSession('list', { id: 'a' })
    const updates = client.session(id).updates()
    expect((await updates.next()).value).toMatchObject({ version: 1 })
    client.close()
    expect((await updates.next()).done).toBe(true)
    await expect(client.getSession(id)).rejects.toMatchObject({ code: 'closed' })
  })
})
