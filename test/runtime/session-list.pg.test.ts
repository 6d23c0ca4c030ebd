/** Lists of sessions, in TypeScript and over HTTP, of what runtimes have written. */
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setup } from 'xstate'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ticketSession } from '../../actors/lifecycles/ticket.ts'
import { defineSession } from '../../actors/define-session.ts'
import { PARTITIONS } from '../../actors/partitions.ts'
import type { ListedSession } from '../../actors/session-list.ts'
import { drain } from '../../persistence/audit/drain.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { Outbox } from '../../persistence/audit/outbox.ts'
import { createRuntime } from '../../runtime/index.ts'
import type { ListOptions, Runtime, RuntimeConfig, SessionPage } from '../../runtime/index.ts'
import { listSessions } from '../../transport/protocol/list-sessions.ts'
import { AuditPlace } from '../persistence/audit-support.ts'
import { sleepMs } from '../support/hosts.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { SECRET, tokenOf } from '../transport/auth/tokens.ts'

const lamp = defineSession({
  name: 'lamp',
  version: 1,
  machine: setup({ types: {} as { events: { type: 'TURN' | 'BREAK' } } }).createMachine({
    initial: 'off',
    states: {
      off: { tags: 'dark', on: { TURN: 'on' } },
      on: {
        initial: 'dim',
        states: { dim: { on: { TURN: 'bright' } }, bright: {} },
        on: { BREAK: 'broken' },
      },
      broken: { type: 'final' },
    },
  }),
})

/** Its sessions are for their owner, who stands before the colon. */
const owned = defineSession({
  name: 'owned',
  version: 1,
  machine: setup({ types: {} as { context: { secret: string }; events: { type: 'X' } } }).createMachine({
    context: { secret: 'deep' },
    initial: 'on',
    states: { on: {} },
  }),
  authorize: ({ principal, action, id, session }) => {
    if (action !== 'list') return true
    return session()?.context.secret === 'deep' && id.startsWith(`${principal?.id ?? 'nobody'}:`)
  },
})
const open = defineSession({ ...owned, name: 'open', authorize: undefined as never })

let place: AuditPlace
let runtime: Runtime
let outbox: Outbox
const closing: (() => Promise<void>)[] = []

async function start(config: Partial<RuntimeConfig> = {}): Promise<Runtime> {
  const started = await createRuntime({
    definitions: [lamp, ticketSession, owned, open],
    redisUrl: place.redisUrl,
    databaseUrl: place.databaseUrl,
    keyPrefix: place.prefix,
    audit: false,
    logLevel: 'silent',
    ...config,
  } as RuntimeConfig)
  closing.push(() => started.close({ deadlineMs: 1000 }))
  return started
}

async function serve(of: Runtime): Promise<string> {
  const server: Server = createServer((request, response) => void of.handleHttp(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  closing.unshift(async () => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function drained(): Promise<void> {
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => partition)
  await drain({ outbox, pool: place.pool, knownDays: new Set() }, partitions, 1000)
}

beforeAll(async () => {
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
  outbox = new Outbox(place.redis, place.keys)
  runtime = await start()
  for (let n = 0; n < 7; n++) {
    await runtime.createSession(lamp, { id: `lamp-${n}` })
    for (let turns = 0; turns < n % 3; turns++) await runtime.updateSession(`lamp-${n}`, { type: 'TURN' })
  }
  await runtime.updateSession('lamp-5', { type: 'BREAK' })
  await runtime.deleteSession('lamp-6')
  await runtime.createSession(ticketSession, {
    id: 'case-1',
    input: { subject: 'x', customer: 'ann' } as never,
  })
  for (const who of ['ann', 'bob', 'ann', 'cy'])
    for (let n = 0; n < 3; n++)
      await runtime.createSession('owned', { id: `${who}:${n}`, ifExists: 'return' })
  await runtime.createSession('open', { id: 'open-1' })
  await drained()
})
afterAll(async () => {
  for (const close of closing) await close()
  await place.destroy()
})

const ids = ({ sessions }: SessionPage): string[] => sessions.map(({ id }) => id)
const list = async (options: ListOptions): Promise<string[]> => ids(await runtime.listSessions(options))

describe('lists', () => {
  it('by definition, those created last first, without what is no more', async () => {
    const page = await runtime.listSessions({ machine: lamp })
    expect(ids(page)).toEqual(['lamp-5', 'lamp-4', 'lamp-3', 'lamp-2', 'lamp-1', 'lamp-0'])
    expect(page).toMatchObject({ nextCursor: null, lagMs: 0 })
    expect(page.sessions[1]).toEqual({
      id: 'lamp-4',
      machine: 'lamp',
      machineVersion: 1,
      epoch: expect.stringMatching(/^\d+$/) as unknown,
      version: 2,
      status: 'active',
      value: { on: 'dim' },
      tags: [],
      createdAt: expect.any(Number) as unknown,
      updatedAt: expect.any(Number) as unknown,
    })
    expect((await runtime.listSessions()).sessions).toHaveLength(6 + 1 + 9 + 1)
  })

  it('by state, at any depth', async () => {
    expect(await list({ machine: 'lamp', state: 'off' })).toEqual(['lamp-3', 'lamp-0'])
    expect(await list({ machine: 'lamp', state: 'on' })).toEqual(['lamp-4', 'lamp-2', 'lamp-1'])
    expect(await list({ machine: 'lamp', state: 'on.bright' })).toEqual(['lamp-2'])
    expect(await list({ state: 'on' })).toContain('cy:0')
    const { value } = (await runtime.listSessions({ machine: 'ticket' })).sessions[0] as ListedSession
    const leaves = (of: unknown): string[] =>
      typeof of === 'string'
        ? [of]
        : Object.entries(of as object).flatMap(([key, below]) =>
            leaves(below).map((leaf) => `${key}.${leaf}`),
          )
    const paths = leaves(value)
    expect(paths.length).toBeGreaterThan(1)
    for (const path of paths) expect(await list({ machine: 'ticket', state: path })).toEqual(['case-1'])
  })

  it('by tag, status and time', async () => {
    expect(await list({ machine: 'lamp', tag: 'dark' })).toEqual(['lamp-3', 'lamp-0'])
    expect(await list({ machine: 'lamp', status: 'done' })).toEqual(['lamp-5'])
    expect(await list({ machine: 'lamp', status: 'active' })).not.toContain('lamp-5')
    expect(await list({ status: 'deleted' })).toEqual(['lamp-6'])
    expect(await list({ status: 'expired' })).toEqual([])
    const { updatedAt } = (await runtime.listSessions({ machine: 'ticket' })).sessions[0] as ListedSession
    expect(await list({ machine: 'lamp', since: updatedAt + 1 })).toEqual([])
    expect(await list({ machine: 'ticket', since: new Date(updatedAt) })).toEqual(['case-1'])
  })

  it('page by page, each session once, whatever is written meanwhile', async () => {
    const seen: string[] = []
    let cursor: string | undefined
    for (let page = 0; ; page++) {
      const found = await runtime.listSessions({
        machine: 'lamp',
        limit: 2,
        ...(cursor === undefined ? {} : { cursor }),
      })
      seen.push(...ids(found))
      if (found.nextCursor === null) break
      cursor = found.nextCursor
      // One that was told, one that is to come, and a new one.
      await runtime.updateSession('lamp-4', { type: 'TURN' })
      await runtime.updateSession('lamp-0', { type: 'TURN' })
      await runtime.createSession(lamp, { id: `late-${page}` })
      await drained()
    }
    expect(seen).toEqual(['lamp-5', 'lamp-4', 'lamp-3', 'lamp-2', 'lamp-1', 'lamp-0'])
  })

  it('say how far they are behind', async () => {
    await runtime.createSession(lamp, { id: 'waiting' })
    const createdAt = (await runtime.getSession('waiting'))?.updatedAt ?? 0
    await sleepMs(60)
    const behind = await runtime.listSessions({ machine: 'lamp' })
    expect(ids(behind)).not.toContain('waiting')
    expect(behind.lagMs).toBeGreaterThanOrEqual(50)
    expect(behind.asOf).toBeLessThan(createdAt)
    await drained()
    const now = await runtime.listSessions({ machine: 'lamp' })
    expect(ids(now)[0]).toBe('waiting')
    expect(now.lagMs).toBe(0)
    expect(now.asOf).toBeGreaterThanOrEqual(createdAt)
  })

  it.each([
    [{ limit: 0 }, 'invalid_params', 'params.limit'],
    [{ limit: 501 }, 'invalid_params', 'params.limit'],
    [{ status: 'odd' }, 'invalid_params', 'params.status'],
    [{ sate: 'on' }, 'invalid_params', 'there are: machine, state'],
    [{ since: 'x' }, 'invalid_params', 'params.since'],
    [{ machine: 'nothing' }, 'unknown_machine', 'no definition "nothing"'],
    [
      { machine: 'lamp', state: 'onn' },
      'invalid_params',
      'state: there is no state "onn"; there are: off, on, broken',
    ],
    [{ machine: 'lamp', state: 'on.gone' }, 'invalid_params', 'there is no state "gone"'],
    [
      { machine: 'lamp', tag: 'bright' },
      'invalid_params',
      'tag: no state has the tag "bright"; there are: dark',
    ],
    [{ cursor: 'made-up' }, 'invalid_params', 'cursor: is not one that was given for this question'],
  ])('refuse %j', async (options, code, reason) => {
    const refused = async (): Promise<unknown> => runtime.listSessions(options as never)
    await expect(refused()).rejects.toMatchObject({
      code,
      message: expect.stringContaining(reason) as unknown,
    })
  })

  it('refuse a cursor that was changed, or is of another question', async () => {
    const { nextCursor } = await runtime.listSessions({ machine: 'lamp', limit: 1 })
    if (nextCursor === null) throw new Error('there are more')
    const refused = { code: 'invalid_params', message: expect.stringContaining('cursor') as unknown }
    await expect(async () => runtime.listSessions({ cursor: nextCursor })).rejects.toMatchObject(refused)
    const bytes = Buffer.from(nextCursor, 'base64url')
    for (let at = 0; at <= bytes.length; at++) {
      const [cut, changed] = [bytes.subarray(0, at), Buffer.from(bytes)]
      changed[at] = (changed[at] ?? 0) ^ 1
      for (const other of at < bytes.length ? [cut, changed] : [Buffer.concat([bytes, Buffer.of(0)])]) {
        const cursor = other.toString('base64url')
        await expect(async () => runtime.listSessions({ machine: 'lamp', cursor })).rejects.toMatchObject(
          refused,
        )
      }
    }
    expect(ids(await runtime.listSessions({ machine: 'lamp', limit: 3, cursor: nextCursor }))).toHaveLength(3)
  })

  it('are unavailable without PostgreSQL, and sessions go on', async () => {
    const gone = new URL(place.databaseUrl)
    gone.port = '1'
    for (const [url, reason] of [
      [gone.href, 'PostgreSQL cannot be reached'],
      [null, 'has no databaseUrl'],
    ] as const) {
      const without = await start({ databaseUrl: url })
      await expect(without.listSessions()).rejects.toMatchObject({
        code: 'unavailable',
        retryable: true,
        message: expect.stringContaining(reason) as unknown,
      })
      expect((await without.getSession('lamp-1'))?.id).toBe('lamp-1')
    }
  })
})

describe('over HTTP', () => {
  const get = async (url: string, token?: string): Promise<{ status: number; json: never; text: string }> => {
    const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` }
    const response = await fetch(url, { headers })
    const text = await response.text()
    return { status: response.status, json: JSON.parse(text) as never, text }
  }

  it('without authentication this machine lists all, but what a rule denies nobody', async () => {
    const base = await serve(runtime)
    const { status, json } = await get(`${base}/sessions?machine=lamp&state=on.bright&limit=10`)
    expect(status).toBe(200)
    expect(listSessions.result.safeParse(json).error?.issues).toBeUndefined()
    expect(ids(json)).toContain('lamp-2')
    expect(ids((await get(`${base}/sessions?machine=owned`)).json)).toEqual([])
    expect(ids((await get(`${base}/sessions?machine=open`)).json)).toEqual(['open-1'])
    expect((await get(`${base}/sessions`)).text).not.toContain('deep')
    const since = new Date(Date.now() + 60_000).toISOString()
    expect(ids((await get(`${base}/sessions?since=${since}`)).json)).toEqual([])
  })

  it.each([
    ['limit=501', 400, 'invalid_params'],
    ['limit=many', 400, 'invalid_params'],
    ['sate=on', 400, 'invalid_params'],
    ['cursor=x', 400, 'invalid_params'],
    ['since=yesterday', 400, 'invalid_params'],
    ['machine=nothing', 404, 'unknown_machine'],
  ])('refuses %s', async (query, status, code) => {
    const base = await serve(runtime)
    const answer = await get(`${base}/sessions?${query}`)
    expect(answer).toMatchObject({ status, json: { code } })
  })

  it('TR2 with authentication the rule decides for each session, and without a rule nobody lists', async () => {
    const guarded = await start({ authSecret: SECRET })
    const base = await serve(guarded)
    expect((await get(`${base}/sessions`)).status).toBe(401)
    const ann = await tokenOf('ann')
    expect(ids((await get(`${base}/sessions`, ann)).json)).toEqual(['ann:2', 'ann:1', 'ann:0'])
    expect(ids((await get(`${base}/sessions?machine=owned`, await tokenOf('bob'))).json)).toEqual([
      'bob:2',
      'bob:1',
      'bob:0',
    ])
    expect(ids((await get(`${base}/sessions`, await tokenOf('eve'))).json)).toEqual([])
    expect(await get(`${base}/sessions?machine=lamp`, ann)).toMatchObject({
      status: 403,
      json: { code: 'forbidden' },
    })
    // Pages go on past what is not to be seen, and do not tell of it.
    const seen: string[] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const found = (await get(`${base}/sessions?limit=1${cursor && `&cursor=${cursor}`}`, ann))
        .json as SessionPage
      seen.push(...ids(found))
      cursor = found.nextCursor
      expect(Buffer.from(cursor ?? '', 'base64url').toString('latin1')).not.toMatch(/(ann|bob):/)
    }
    expect(seen).toEqual(['ann:2', 'ann:1', 'ann:0'])
    const bound = await guarded.createAccessToken({
      session: 'ann:1',
      actions: ['get'],
      principal: { id: 'ann' },
      ttlMs: 60_000,
    })
    expect(await get(`${base}/sessions`, bound)).toMatchObject({ status: 403 })
  })
})

it('TR2 a version without a rule is not listed because a newer one has one', async () => {
  const grown = [
    { ...open, name: 'grown' },
    { ...open, name: 'grown', version: 2, authorize: () => true },
  ]
  const guarded = await start({ authSecret: SECRET, definitions: grown as never })
  await place.pool.query(`
    insert into troupe_sessions (session_id, machine, machine_version, epoch, version, commit_id, status, value, context, tags, updated_at)
    select 'grown-' || n, 'grown', n, 1, 1, 'c', 'active', '"on"', '{}', '[]', now() from generate_series(1, 3) as n`)
  const base = await serve(guarded)
  const headers = { Authorization: `Bearer ${await tokenOf('ann')}` }
  const answer = await fetch(`${base}/sessions?machine=grown`, { headers })
  // Nor is one of a version that is not served here.
  expect(ids((await answer.json()) as SessionPage)).toEqual(['grown-2'])
})
