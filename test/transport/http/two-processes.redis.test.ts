import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { documentSession } from '../../../actors/lifecycles/document.ts'
import { ticketSession } from '../../../actors/lifecycles/ticket.ts'
import type { SessionDefinition } from '../../../actors/define-session.ts'
import { createRuntime, type Runtime } from '../../../runtime/index.ts'
import { redisUrl } from '../../support/servers.ts'
import { KeptLog } from '../support/parts.ts'
import { until } from '../support/gateway-rig.ts'
import { EventClient, send, type Sent } from './http-client.ts'

interface Process {
  readonly runtime: Runtime
  readonly server: Server
  readonly port: number
}

const keyPrefix = `t${randomBytes(4).toString('hex')}`
const processes: Process[] = []

async function start(): Promise<Process> {
  const runtime = await createRuntime({
    definitions: [documentSession, ticketSession] as unknown as SessionDefinition[],
    redisUrl: redisUrl(),
    keyPrefix,
    logger: new KeptLog(),
  })
  const server = createServer((request, response) => {
    void runtime.handleHttp(request, response, { base: '/api/' }).then((isAnswered) => {
      if (!isAnswered) response.writeHead(418).end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { runtime, server, port: (server.address() as AddressInfo).port }
}

async function stop({ runtime, server }: Process): Promise<void> {
  server.close()
  await runtime.close()
  server.closeAllConnections()
}

beforeAll(async () => {
  processes.push(await start(), await start())
})
afterAll(async () => {
  for (const each of processes) await stop(each)
})

const at = (index: number, line: string, sent: Sent = {}) =>
  send(processes[index]?.port ?? 0, line.replace(' /', ' /api/'), sent)

describe('the HTTP API of a real runtime, below a path of somebody’s server', () => {
  it('CM5 one key is applied once, whichever process gets it', async () => {
    const headers = { 'idempotency-key': 'order-7' }
    const body = { machine: 'document', input: { n: 1 } }
    const [first, again] = [
      await at(0, 'POST /sessions', { headers, body }),
      await at(1, 'POST /sessions', { headers, body }),
    ]
    expect(first.status).toBe(201)
    expect(first.headers.location).toBe(`/api/sessions/${String(first.json['id'])}`)
    expect([again.status, again.json['id'], again.headers.etag]).toEqual([
      201,
      first.json['id'],
      first.headers.etag,
    ])
    const path = `POST /sessions/${String(first.json['id'])}/events`
    const event = { type: 'MERGE', state: { n: 2 } }
    const sent = { headers: { 'idempotency-key': '"e1"' }, body: event }
    expect((await at(0, path, sent)).json).toMatchObject({ outcome: 'committed', applied: 2 })
    expect((await at(1, path, sent)).json).toMatchObject({ outcome: 'duplicate', applied: 2, version: 2 })
    const other = await at(1, path, { ...sent, body: { ...event, state: { n: 3 } } })
    expect([other.status, other.json['code']]).toEqual([422, 'key_reused'])
  })

  it('an ETag of one process is good for all, and of two writers with the same one wins', async () => {
    const created = await at(0, 'POST /sessions', { body: { machine: 'document', id: 'etag' } })
    const tag = created.headers.etag ?? ''
    expect((await at(1, 'GET /sessions/etag', { headers: { 'if-none-match': tag } })).status).toBe(304)
    const sent = (n: number): Sent => ({
      headers: { 'if-match': tag },
      body: { type: 'SET', state: { n } },
    })
    const answers = await Promise.all(
      [0, 1, 0, 1].map((index, n) => at(index, 'POST /sessions/etag/events', sent(n))),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412, 412, 412])
    const newest = answers.find(({ status }) => status === 200)?.headers.etag
    for (const { headers } of answers) expect(headers.etag).toBe(newest)
    const weak = await at(1, 'POST /sessions/etag/events', {
      ...sent(9),
      headers: { 'if-match': `W/${newest ?? ''}` },
    })
    expect(weak.json).toMatchObject({ outcome: 'committed', version: 3 })
    expect((await at(0, 'GET /sessions/etag', { headers: { 'if-none-match': tag } })).json).toMatchObject({
      version: 3,
    })
  })

  it('answers with the errors of the machine', async () => {
    await at(0, 'POST /sessions', { body: { machine: 'document', id: 'errors' } })
    const post = (body: unknown) => at(1, 'POST /sessions/errors/events', { body })
    expect((await post({ type: 'NO' })).json).toMatchObject({ status: 422, code: 'event_invalid' })
    expect((await post({ type: 'xstate.stop' })).json).toMatchObject({ status: 422, code: 'event_reserved' })
    expect((await post({ type: 'SET', state: 'x'.repeat(70_000) })).json).toMatchObject({
      status: 413,
      code: 'too_large',
    })
    expect(
      (await at(1, 'POST /sessions', { body: { machine: 'document', id: 'errors' } })).json,
    ).toMatchObject({ status: 409, code: 'session_exists' })
    expect((await at(1, 'POST /sessions', { body: { machine: 'none' } })).json).toMatchObject({
      status: 404,
      code: 'unknown_machine',
    })
  })

  it('a wait on one process ends by what another does', async () => {
    const input = { subject: 'No tea', customer: 'ann' }
    await at(0, 'POST /sessions', { body: { machine: 'ticket', id: 'case', input } })
    const waiting = at(0, 'GET /sessions/case/wait?until=tag:needsCustomer&timeoutMs=10000')
    await vi.waitFor(async () => expect((await processes[0]?.runtime.health())?.connections).toBe(1))
    await at(1, 'POST /sessions/case/events', { body: { type: 'REPLY', from: 'agent', text: 'Soon.' } })
    expect((await waiting).json).toMatchObject({ version: 2 })
  })

  it('FD1 FD2 LC2 a stream hears of all processes, and goes on at another when its own leaves', async () => {
    await at(0, 'POST /sessions', { body: { machine: 'document', id: 'live' } })
    const leaving = await start()
    const stream = await EventClient.open(leaving.port, '/api/sessions/live/updates')
    await until(() => stream.events.length === 1)
    for (let n = 0; n < 6; n++)
      await at(n % 2, 'POST /sessions/live/events', { body: { type: 'SET', state: { n } } })
    await until(() => stream.text.includes('"n":5'))
    expect((await leaving.runtime.health()).connections).toBe(1)
    await stop(leaving)
    await stream.ended
    expect(stream.events.at(-1)?.event).toBe('goAway')
    const lastId = stream.events.findLast(({ id }) => id !== undefined)?.id ?? ''
    await at(0, 'POST /sessions/live/events', { body: { type: 'SET', state: { n: 6 } } })
    const next = await EventClient.open(processes[1]?.port ?? 0, '/api/sessions/live/updates', {
      'last-event-id': lastId,
    })
    await at(0, 'DELETE /sessions/live')
    await next.ended
    const versions = [...stream.named('sessionUpdated'), ...next.named('sessionUpdated')].map(
      ({ version }) => version as number,
    )
    expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b))
    expect(versions.at(-1)).toBe(8)
    expect(next.events.at(-1)).toMatchObject({
      event: 'sessionEnded',
      data: { version: 9, reason: 'deleted' },
    })
  })

  it('leaves other requests as they were', async () => {
    const port = processes[0]?.port ?? 0
    for (const path of ['/', '/sessions', '/apix/sessions', '/api'])
      expect((await send(port, `GET ${path}`)).status, path).toBe(418)
    expect((await send(port, 'GET /api/openapi.json')).json).toMatchObject({ servers: [{ url: '/api' }] })
  })
})
