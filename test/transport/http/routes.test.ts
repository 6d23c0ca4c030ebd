import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TroupeError } from '../../../actors/errors.ts'
import { methods, type MethodName } from '../../../transport/protocol/messages.ts'
import { startRig, until, type Rig } from '../support/gateway-rig.ts'
import { send, type Answer, type Sent } from './http-client.ts'

let rig: Rig
beforeEach(async () => {
  rig = await startRig({ maxFrameBytes: 4096 })
})
afterEach(async () => {
  await rig.stop()
})

const ask = (line: string, sent: Sent = {}): Promise<Answer> => send(rig.port, line, sent)
const create = (id: string): Promise<Answer> => ask('POST /sessions', { body: { machine: 'counter', id } })

describe('the routes', () => {
  it('answer as the schemas of their methods say', async () => {
    const script: [string, unknown, number, MethodName][] = [
      ['POST /sessions', { machine: 'counter', id: 'a' }, 201, 'createSession'],
      ['POST /sessions', { machine: 'counter', id: 'a', ifExists: 'return' }, 200, 'createSession'],
      ['GET /sessions/a', undefined, 200, 'getSession'],
      ['POST /sessions/a/events', { type: 'ADD', by: 2 }, 200, 'updateSession'],
      ['POST /sessions/a/events', { type: 'NOTHING' }, 200, 'updateSession'],
      ['POST /sessions/a/messages', [1, null], 202, 'broadcastToSession'],
      ['POST /sessions/a/messages', 'null', 202, 'broadcastToSession'],
      ['GET /sessions/a/wait?until=value:on', undefined, 200, 'waitFor'],
      ['DELETE /sessions/a', undefined, 200, 'deleteSession'],
      ['DELETE /sessions/a', undefined, 200, 'deleteSession'],
    ]
    for (const [line, body, status, method] of script) {
      const answer = await ask(line, { body })
      expect([line, answer.status, answer.text]).toEqual([line, status, expect.anything()])
      expect(answer.headers['content-type'], line).toBe('application/json')
      expect(methods[method].result.safeParse(answer.json).error?.issues, line).toBeUndefined()
    }
    expect(rig.service.calls).toContain('broadcast a [1,null]')
  })

  it('tell where a new session is and where it stands', async () => {
    const created = await create('order:7@shop')
    expect(created.headers).toMatchObject({ location: '/sessions/order:7@shop', etag: '"1001-1"' })
    const updated = await ask('POST /sessions/order%3A7@shop/events', { body: { type: 'ADD' } })
    expect(updated.headers.etag).toBe('"1001-2"')
    expect(updated.json).toMatchObject({ outcome: 'committed', applied: 2, version: 2 })
  })

  it('answer 304 to who holds the newest view, and never to who does not', async () => {
    await create('a')
    const held = async (tag: string): Promise<number> =>
      (await ask('GET /sessions/a', { headers: { 'if-none-match': tag } })).status
    for (const tag of ['"1001-1"', 'W/"1001-1"', '"x", "1001-1"', '*']) expect(await held(tag), tag).toBe(304)
    for (const tag of ['"1001-2"', '"1000-1"', '1001-1', '"1001-11"', ''])
      expect(await held(tag), tag).toBe(200)
    const { text, headers } = await ask('GET /sessions/a', { headers: { 'if-none-match': '"1001-1"' } })
    expect([text, headers.etag]).toEqual(['', '"1001-1"'])
  })

  it('answer HEAD as GET, without the body', async () => {
    await create('a')
    const [head, get] = [await ask('HEAD /sessions/a'), await ask('GET /sessions/a')]
    expect([head.status, head.text]).toEqual([200, ''])
    expect(head.headers).toMatchObject({
      etag: get.headers.etag,
      'content-length': String(Buffer.byteLength(get.text)),
    })
    expect((await ask('HEAD /sessions/none')).status).toBe(404)
  })

  it('say which methods a path takes', async () => {
    const { status, headers, json } = await ask('PUT /sessions/a')
    expect([status, headers.allow, json['code']]).toEqual([
      405,
      'GET, HEAD, DELETE, OPTIONS',
      'method_not_found',
    ])
    expect((await ask('DELETE /sessions')).headers.allow).toBe('POST, GET, HEAD, OPTIONS')
  })

  it('leave other paths to others', async () => {
    expect((await ask('GET /healthz')).json).toEqual({ ok: true })
    for (const path of ['/', '/sessions/', '/sessions/a/b', '/sessions/a/events/', '/sessionsx'])
      expect((await ask(`GET ${path}`)).text, path).toMatch(/^There is nothing here/)
  })

  it('412 with where the session is to an If-Match that is out of date', async () => {
    await create('a')
    rig.service.failure = new TroupeError('version_conflict', 'It is at 5.', {
      details: { epoch: '1001', version: 5 },
    })
    const answer = await ask('POST /sessions/a/events', {
      body: { type: 'ADD' },
      headers: { 'if-match': '"1001-4"' },
    })
    expect(answer.status).toBe(412)
    expect(answer.headers.etag).toBe('"1001-5"')
    expect(answer.json).toMatchObject({ code: 'version_conflict', details: { version: 5 } })
  })

  it('take no condition that they do not understand', async () => {
    await create('a')
    for (const tag of ['"x"', '1001-1', '"1001-1", "1001-2"', '""', '"1001-0"', '"01-1"']) {
      const sent = { body: { type: 'ADD' }, headers: { 'if-match': tag } }
      expect((await ask('POST /sessions/a/events', sent)).status, tag).toBe(400)
    }
    expect((await ask('DELETE /sessions/a', { headers: { 'if-match': '"1001-1"' } })).status).toBe(400)
    expect(rig.service.sessions.get('a')?.version).toBe(1)
  })

  it('say what was done where it cannot be shown', async () => {
    await create('a')
    rig.service.unshowable = new Error('the view threw')
    const { status, json } = await ask('POST /sessions/a/events', { body: { type: 'ADD' } })
    expect(status).toBe(500)
    expect(json).toMatchObject({ code: 'internal', details: { outcome: 'committed', applied: 2 } })
    expect(JSON.stringify(json)).not.toContain('the view threw')
  })
})

describe('waiting', () => {
  it('ends when it comes true, with the time, with the session, or with the client', async () => {
    await create('a')
    const wait = (query: string): Promise<Answer> => ask(`GET /sessions/a/wait?${query}`)
    expect((await wait('until=tag:never&timeoutMs=20')).json).toMatchObject({ code: 'timeout', status: 504 })
    expect((await wait('until=%7B%22value%22:%22on%22%7D')).json).toMatchObject({ value: 'on' })
    for (const query of [
      '',
      'until=soon',
      'until=%7B',
      'until=done&timeoutMs=x',
      'until=tag:unheard-of',
      'until=done&until=done',
      'until=done&timeout=5',
    ])
      expect((await wait(query)).status, query).toBe(400)
    const gone = wait('until=done')
    await until(() => rig.api.connections === 1)
    await ask('DELETE /sessions/a')
    expect((await gone).json).toMatchObject({ code: 'not_found', details: { reason: 'deleted' } })
    expect(rig.api.connections).toBe(0)
    expect((await wait('until=done')).status).toBe(404)
  })

  it('TR3 leaves nothing behind when the client goes', async () => {
    await create('a')
    const controller = new AbortController()
    const url = `http://127.0.0.1:${rig.port}/sessions/a/wait?until=done`
    const asked = fetch(url, { signal: controller.signal }).catch(() => 'aborted')
    await until(() => rig.api.connections === 1)
    controller.abort()
    expect(await asked).toBe('aborted')
    await until(() => rig.api.connections === 0)
  })
})

describe('bodies', () => {
  const post = (body: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> =>
    ask('POST /sessions/a/events', { body, headers })

  it.each<[string, string | Buffer, number, string]>([
    ['nothing', '', 400, 'parse_error'],
    ['no JSON', '{"type":', 400, 'parse_error'],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 400, 'parse_error'],
    ['no object', '["ADD"]', 400, 'invalid_params'],
    ['no type', '{"a":1}', 400, 'invalid_params'],
    ['__proto__', '{"type":"ADD","a":[{"__proto__":{"x":1}}]}', 400, 'invalid_request'],
    ['__proto__ in disguise', '{"type":"ADD","_\\u005fproto__":1}', 400, 'invalid_request'],
    ['too many levels', `{"type":"ADD","a":${'['.repeat(64)}${']'.repeat(64)}}`, 400, 'parse_error'],
    ['a great many levels', '['.repeat(4000), 400, 'parse_error'],
    ['too many bytes', `{"type":"ADD","a":"${'x'.repeat(4096)}"}`, 413, 'too_large'],
  ])('TR1 %s is refused, and nothing changes', async (_, body, status, code) => {
    await create('a')
    expect((await post(body)).json).toMatchObject({ status, code })
    expect(rig.service.sessions.get('a')?.version).toBe(1)
    expect((await post('{"type":"ADD"}')).status).toBe(200)
  })

  it('TR3 a body without a length is cut off at the limit, and answered', async () => {
    await create('a')
    const chunks = async function* (): AsyncGenerator<Buffer> {
      for (let n = 0; n < 200; n++) yield Buffer.alloc(10_000, 0x20)
    }
    const answer = await fetch(`http://127.0.0.1:${rig.port}/sessions/a/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: chunks() as unknown as ReadableStream,
      duplex: 'half',
    } as RequestInit)
    expect(answer.status).toBe(413)
  })

  it('must be named as what they are: pages cannot send this type without asking', async () => {
    await create('a')
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'application/jsonx',
      'application/json; charset=latin1',
    ]) {
      const answer = await post('{"type":"ADD"}', { 'content-type': type })
      expect([answer.status, answer.headers['accept']], type).toEqual([415, 'application/json'])
    }
    expect((await post('{"type":"ADD"}', { 'content-encoding': 'gzip' })).status).toBe(415)
    for (const type of ['application/json; charset=UTF-8', 'application/cloudevents+json'])
      expect((await post('{"type":"ADD"}', { 'content-type': type })).status, type).toBe(200)
  })

  it('of createSession say where else its other params are', async () => {
    for (const body of [
      { machine: 'counter', key: 'k' },
      { machine: 'counter', subscribe: true },
      ['counter'],
      { machine: 'counter', ID: 'a' },
    ])
      expect((await ask('POST /sessions', { body })).status, JSON.stringify(body)).toBe(400)
  })
})
