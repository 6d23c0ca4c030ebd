import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createClient, type Client, type ClientOptions } from '../../../transport/client/index.ts'
import { until } from '../../support/hosts.ts'
import { refusal, ScriptedServer, viewOf } from './support/scripted-server.ts'

interface Rows {
  readonly rows: readonly { readonly n: number }[]
  readonly note: { readonly text: string }
}

let server: ScriptedServer
let clients: Client[]
/** What the server holds. */
let current: object
beforeEach(async () => {
  server = await ScriptedServer.start()
  clients = []
  current = viewOf('a', 1, { rows: [{ n: 1 }, { n: 2 }], note: { text: 'first' } })
  server.answer = ({ method, params }) => {
    if (method !== 'subscribe') return { result: method === 'unsubscribe' ? {} : current }
    const since = params['since'] as { version: number } | undefined
    return since?.version === (current as { version: number }).version
      ? { result: { recovered: true, session: null } }
      : { result: { recovered: false, session: current } }
  }
})
afterEach(() => {
  for (const client of clients) client.close()
  server.stop()
})

function connect(options: Partial<ClientOptions> = {}) {
  const client = createClient({
    url: server.url,
    WebSocket,
    backoff: { minMs: 1, maxMs: 5 },
    delta: true,
    ...options,
  })
  clients.push(client)
  const session = client.session<unknown, Rows>('a')
  session.subscribe(() => undefined)
  return session
}

function patch(baseVersion: number, version: number, operations: object[], connection = 0): void {
  server.notify(connection, 'sessionUpdated', {
    id: 'a',
    epoch: '1000',
    baseVersion,
    version,
    patch: operations,
    events: ['SET'],
  })
}

describe('patches', () => {
  it('are asked for, and applied to the last view', async () => {
    const session = connect()
    await until(() => session.phase === 'live')
    expect(server.of('subscribe')).toEqual([{ id: 'a', delta: true }])
    const before = session.getSnapshot()?.context
    patch(1, 2, [
      { op: 'replace', path: '/version', value: 2 },
      { op: 'replace', path: '/context/rows/1/n', value: 3 },
    ])
    patch(2, 4, [{ op: 'add', path: '/context/rows/-', value: { n: 4 } }])
    await until(() => session.getSnapshot()?.version === 4)
    const after = session.getSnapshot()?.context
    expect(after?.rows).toEqual([{ n: 1 }, { n: 3 }, { n: 4 }])
    expect(after?.rows[0]).toBe(before?.rows[0])
    expect(after?.note).toBe(before?.note)
    expect(server.of('subscribe').length).toBe(1)
  })

  it('are applied to views that came as replies', async () => {
    const session = connect()
    await until(() => session.phase === 'live')
    current = viewOf('a', 5, { rows: [], note: { text: 'fifth' } })
    server.answer = () => ({ result: { ...current, outcome: 'committed', applied: 5 } })
    await session.send({ type: 'SET' })
    patch(5, 6, [{ op: 'replace', path: '/context/note/text', value: 'sixth' }])
    await until(() => session.getSnapshot()?.version === 6)
    expect(session.getSnapshot()).toEqual({
      ...current,
      version: 6,
      context: { rows: [], note: { text: 'sixth' } },
    })
  })

  it.each([
    ['another base', 2, [{ op: 'replace', path: '/context/note/text', value: 'x' }]],
    ['a place that is not there', 1, [{ op: 'replace', path: '/context/none/text', value: 'x' }]],
  ])('lead to the whole view when they are for %s', async (_name, base, operations) => {
    const session = connect()
    await until(() => session.phase === 'live')
    current = viewOf('a', 3, { rows: [], note: { text: 'third' } })
    patch(base, 3, operations)
    await until(() => session.getSnapshot()?.version === 3)
    expect(session.getSnapshot()).toEqual(current)
    expect(server.of('unsubscribe')).toEqual([{ id: 'a' }])
    expect(server.of('subscribe').at(-1)).toEqual({ id: 'a', delta: true })
  })

  it('go on after a loss from the view that was there', async () => {
    const session = connect()
    await until(() => session.phase === 'live')
    server.sockets[0]?.terminate()
    await until(() => server.of('subscribe').length === 2 && session.phase === 'live')
    patch(1, 2, [{ op: 'replace', path: '/context/note/text', value: 'second' }], 1)
    await until(() => session.getSnapshot()?.version === 2)
    expect(session.getSnapshot()?.context.note.text).toBe('second')
  })

  it('are done without on a server that has none', async () => {
    const answer = server.answer
    server.answer = (asked, connection) =>
      asked.params['delta'] === undefined ? answer(asked, connection) : refusal('invalid_params', false)
    const session = connect()
    await until(() => session.phase === 'live')
    expect(session.getSnapshot()?.version).toBe(1)
  })

  it('are not asked for unless wanted', async () => {
    const session = connect({ delta: false })
    await until(() => session.phase === 'live')
    expect(server.of('subscribe')).toEqual([{ id: 'a' }])
  })
})

describe('views', () => {
  it('FD2 never go back, and an epoch is compared as a number', async () => {
    const session = connect({ delta: false })
    const seen: string[] = []
    session.subscribe((notice) => {
      if (notice.kind === 'updated') seen.push(`${notice.session.epoch}.${String(notice.session.version)}`)
    })
    await until(() => session.phase === 'live')
    const views: [string, number][] = [
      ['1000', 3],
      ['1000', 2],
      ['999', 9],
      ['1000', 3],
      ['10000', 1],
      ['9999', 7],
      ['10000', 2],
    ]
    for (const [epoch, version] of views)
      server.notify(0, 'sessionUpdated', { ...viewOf('a', version, {}, epoch), events: [] })
    await until(() => session.getSnapshot()?.epoch === '10000' && session.getSnapshot()?.version === 2)
    expect(seen).toEqual(['1000.1', '1000.3', '10000.1', '10000.2'])
  })
})
