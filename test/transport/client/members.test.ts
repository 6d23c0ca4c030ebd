import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createClient, type Client, type ClientNotice } from '../../../transport/client/index.ts'
import { until } from '../../support/hosts.ts'
import { refusal, ScriptedServer, viewOf } from './support/scripted-server.ts'

const member = (client: string) => ({ client, principal: null })

let server: ScriptedServer
let client: Client
/** Who is there, as the server tells. */
let there: string[]
beforeEach(async () => {
  server = await ScriptedServer.start()
  there = ['me-0', 'b']
  server.answer = ({ method, params }, connection) => {
    if (method !== 'subscribe') return { result: {} }
    const members = { presence: there.map(member), client: `me-${connection}` }
    const session = params['since'] === undefined ? viewOf('a', 1, {}) : null
    return { result: { recovered: false, session, ...(params['presence'] === true ? members : {}) } }
  }
  client = createClient({ url: server.url, WebSocket, backoff: { minMs: 1, maxMs: 5 } })
})
afterEach(() => {
  client.close()
  server.stop()
})

describe('the members of a session', () => {
  it('are asked for while somebody wants to know, and kept by what is told', async () => {
    const session = client.session('a')
    const notices: ClientNotice<unknown>[] = []
    session.subscribe((notice) => notices.push(notice))
    await until(() => session.phase === 'live')
    expect(server.of('subscribe')).toEqual([{ id: 'a' }])
    expect(session.members.getSnapshot()).toBeNull()
    const lists: (string[] | undefined)[] = []
    const leave = session.members.subscribe((list) => lists.push(list?.map((each) => each.client)))
    await until(() => session.members.getSnapshot() !== null)
    expect(server.of('subscribe')[1]).toMatchObject({ presence: true, since: { version: 1 } })
    expect(session.members.getSnapshot()).toEqual([
      { ...member('me-0'), isSelf: true },
      { ...member('b'), isSelf: false },
    ])
    server.notify(0, 'presenceChanged', { id: 'a', joined: [member('c')], left: [member('b')] })
    await until(() => lists.length === 2)
    expect(lists).toEqual([
      ['me-0', 'b'],
      ['me-0', 'c'],
    ])
    expect(notices.at(-1)).toMatchObject({
      kind: 'presence',
      joined: [{ client: 'c' }],
      left: [{ client: 'b' }],
    })
    // It was subscribed all the time: nothing was missed.
    expect(notices.some(({ kind }) => kind === 'gap')).toBe(false)
    leave()
    expect(session.members.getSnapshot()).toBeNull()
    server.notify(0, 'presenceChanged', { id: 'a', joined: [member('d')], left: [] })
    session.members.subscribe(() => undefined)
    await until(() => server.of('subscribe').length === 3)
  })

  it('are read again when changes were dropped, and after each loss', async () => {
    const session = client.session('a')
    const told: ClientNotice<unknown>[] = []
    session.subscribe((notice) => told.push(notice), { presence: true })
    await until(() => session.members.getSnapshot()?.length === 2)
    there = ['me-0', 'c']
    server.notify(0, 'gap', { id: 'a', dropped: 0, presence: true })
    await until(() => server.of('subscribe').length === 2)
    await until(() => told.at(-1)?.kind === 'presence')
    expect(told.at(-1)).toMatchObject({ joined: [{ client: 'c' }], left: [{ client: 'b' }] })
    there = ['c', 'me-1']
    server.sockets[0]?.terminate()
    await until(() => session.members.getSnapshot()?.some(({ client: each }) => each === 'me-1') === true)
    expect(session.members.getSnapshot()).toEqual([
      { ...member('c'), isSelf: false },
      { ...member('me-1'), isSelf: true },
    ])
  })

  it('are not to be had where the definition has none: all else is', async () => {
    server.answer = ({ params }) =>
      params['presence'] === true
        ? refusal('invalid_params', false)
        : { result: { recovered: false, session: viewOf('a', 1, {}) } }
    const session = client.session('a')
    const told: ClientNotice<unknown>[] = []
    session.subscribe((notice) => told.push(notice), { presence: true })
    await until(() => session.phase === 'live')
    expect(session.getSnapshot()).toMatchObject({ version: 1 })
    expect(told.find(({ kind }) => kind === 'presence')).toMatchObject({
      members: null,
      error: { code: 'invalid_params' },
    })
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(server.of('subscribe')).toHaveLength(2)
  })

  it('of a session that has ended are nobody', async () => {
    const session = client.session('a')
    session.members.subscribe(() => undefined)
    await until(() => session.members.getSnapshot() !== null)
    server.notify(0, 'sessionEnded', { id: 'a', epoch: '1000', version: 2, reason: 'deleted' })
    await until(() => session.members.getSnapshot() === null)
  })

  it('come to a slow consumer as one change', async () => {
    const notices = client.session('a').notices({ presence: true })
    const next = async (kind: string) => {
      for (;;) {
        const { value, done } = await notices.next()
        if (done === true) throw new Error('it has ended')
        if (value.kind === kind) return value
      }
    }
    await next('presence')
    for (const n of [1, 2, 3])
      server.notify(0, 'presenceChanged', { id: 'a', joined: [member(`c${n}`)], left: [] })
    server.notify(0, 'presenceChanged', { id: 'a', joined: [], left: [member('c2'), member('b')] })
    server.notify(0, 'sessionMessage', { id: 'a', message: 1 })
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await next('presence')).toMatchObject({
      joined: [{ client: 'c1' }, { client: 'c3' }],
      left: [{ client: 'b' }],
      members: [{ client: 'me-0' }, { client: 'c1' }, { client: 'c3' }],
    })
    await notices.return()
  })
})
