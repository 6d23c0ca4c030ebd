/** `npm run audit -- replay …`, on rows that a runtime has written. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { builtinDefinitions } from '../../../actors/lifecycles/builtin.ts'
import { migrate } from '../../../persistence/audit/migrations.ts'
import type { WhichSessions } from '../../../runtime/replay/replay-sessions.ts'
import type { SessionReport } from '../../../runtime/replay/session-replay.ts'
import { AuditPlace } from '../../persistence/audit-support.ts'
import { sleepMs } from '../../support/hosts.ts'
import { databaseUrl, redisUrl } from '../../support/servers.ts'
import { saidBy } from '../run-audit.ts'
import type { Said } from '../run-audit.ts'
import { clocked, errand, fragile, order1, order2, order3, outside } from './machines.ts'
import { recordLives } from './recorded-lives.ts'
import { replayed } from './replayed.ts'
import type { ReplayGiven } from './replayed.ts'

const AUDIT = join(import.meta.dirname, '..', '..', '..', 'dist/runtime/cli/audit.js')
const MACHINES = join(import.meta.dirname, 'machines.ts')
const all = [...builtinDefinitions, errand, clocked, fragile, order1, order2, order3]

const stringContaining = (part: string): unknown => expect.stringContaining(part)

let place: AuditPlace
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'troupe-replay-'))
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
  await recordLives(place)
  expect(await place.waiting()).toBe(0)
}, 120_000)
afterAll(async () => {
  await place.destroy()
  rmSync(folder, { recursive: true, force: true })
})

function replay(which: WhichSessions | string, given: Partial<ReplayGiven> = {}): Promise<SessionReport[]> {
  const sessions = typeof which === 'string' ? { ids: [which] } : which
  return replayed(place, sessions, { definitions: all, ...given })
}

async function one(...args: Parameters<typeof replay>): Promise<SessionReport> {
  const [report] = await replay(...args)
  if (report === undefined) throw new Error('no report')
  return report
}

describe('AU4 what was recorded leads to the stored states', () => {
  it.each(['cart', 'game', 'case', 'page', 'run', 'twin', 'shipped', 'moving'])(
    'of session %s',
    async (id) => {
      const report = await one(id)
      expect(report).toMatchObject({ divergence: null, notComparable: new Map() })
      expect(report.rows).toBeGreaterThan(1)
      expect(report.equal).toBe(report.rows - report.ends)
    },
  )

  it('with timers, promises, children, mail and migrations among them', async () => {
    const { rows } = await place.pool.query<{ kind: string }>(
      `select distinct kind from troupe_transitions where session_id = any('{run,twin,game,case,page,moving}')`,
    )
    expect(rows.map(({ kind }) => kind).sort()).toEqual(
      expect.arrayContaining(['created', 'deleted', 'event', 'mail', 'migrated', 'result', 'timer']),
    )
  })

  it('and nothing is done on the way: no action, no promise, nothing written', async () => {
    const sight = async () => {
      const { rows } = await place.pool.query(
        'select sum(hashtext(t::text)) as sum, count(*) from troupe_transitions t',
      )
      // Locks of the audit come and go.
      const names = (await place.redis.keys(`*${place.prefix}*`)).filter((key) =>
        /:(session|outbox|mail|timers)/.test(key),
      )
      const sessions = names.filter((key) => key.includes(':session:')).sort()
      return { rows, names: names.sort(), records: await place.redis.mget(sessions) }
    }
    const before = { ...(await sight()), ...outside }
    expect(outside.promises).toBeGreaterThan(0)
    expect(outside.actions).toBeGreaterThan(0)
    await one('run')
    await sleepMs(50)
    expect({ ...(await sight()), ...outside }).toEqual(before)
  })

  it('a state that was tampered with is a divergence, with its path', async () => {
    await place.pool.query(
      `update troupe_transitions set context = '{"steps": 3}' where session_id = 'altered' and version = 3`,
    )
    const report = await one('altered')
    expect(report.divergence).toMatchObject({
      version: 3,
      kind: 'event',
      event: { type: 'NEXT' },
      is: 'state',
      path: 'context.steps',
      stored: 3,
      replayed: 2,
    })
    expect(report).toMatchObject({ equal: 2 })
    expect(report.notComparable.get('diverged')).toMatchObject({ count: 1 })
    expect((await one('altered', { statesOnly: true })).divergence).toBeNull()
  })

  it('an event that changes nothing now made a version then', async () => {
    await place.pool.query(
      `update troupe_transitions set event = '{"type": "OTHER"}' where session_id = 'odd' and version = 3`,
    )
    expect((await one('odd')).divergence).toMatchObject({
      version: 3,
      is: 'failure',
      reason: 'event "OTHER" changes nothing, and made a version then',
    })
  })
})

describe('what cannot be compared is never called equal', () => {
  it('a clock that is read: from where it decides on, nothing can be compared', async () => {
    const report = await one('stamped')
    expect(report).toMatchObject({ rows: 4, equal: 2, divergence: null })
    expect(report.notComparable.get('clock')).toMatchObject({
      count: 2,
      version: 3,
      detail: 'two replays of it differ in context.at: new Date()',
    })
  })

  it.each([
    ['rolled', 'two replays of it differ in value: Math.random()'],
    ['named', 'two replays of it differ in context.at: crypto randomUUID()'],
    ['dated', 'new Date()'],
    ['written', 'two replays of it differ in context.at: Intl.DateTimeFormat'],
    ['parted', 'two replays of it differ in context.at: Intl.DateTimeFormat'],
  ])('chance, and years, of session %s', async (id, detail) => {
    const report = await one(id)
    expect(report).toMatchObject({ equal: 1, divergence: null })
    expect(report.notComparable.get('clock')).toMatchObject({ count: report.rows - 1, version: 2, detail })
  })

  it('a clock that is read and decides nothing costs its own row only', async () => {
    const report = await one('peeked')
    expect(report).toMatchObject({ rows: 3, equal: 2, divergence: null })
    expect(report.notComparable.get('clock')).toMatchObject({ count: 1, version: 2, detail: 'Date.now()' })
  })

  it('a timer at which the machine threw', async () => {
    const report = await one('broken')
    expect(report).toMatchObject({ divergence: null })
    expect(report.notComparable.get('failed')).toMatchObject({
      count: 1,
      detail: stringContaining('it broke'),
    })
    expect(report.equal).toBe(report.rows - 1)
  })

  it.each([
    [
      'forgotten',
      `forgotten_at = now(), event = null, context = null, to_value = null, status = null`,
      'forgotten',
      1,
    ],
    ['silent', `event = null`, 'no-event', 1],
    ['bare', `context = null`, 'no-state', 0],
  ] as const)('rows whose contents are kept back: %s', async (id, set, kind, following) => {
    await place.pool.query(`update troupe_transitions set ${set} where session_id = '${id}' and version = 3`)
    const report = await one(id)
    expect(report.divergence).toBeNull()
    expect(report.notComparable.get(kind)).toMatchObject({ count: 1, version: 3 })
    expect(report.notComparable.get('after')?.count ?? 0).toBe(following)
    expect(report.equal).toBe(3 - following)
  })

  it('rows after one that is not there', async () => {
    await place.pool.query(`delete from troupe_transitions where session_id = 'torn' and version = 2`)
    const report = await one('torn')
    expect(report).toMatchObject({ rows: 3, equal: 1, divergence: null })
    expect(report.notComparable.get('gap')).toMatchObject({ count: 1, detail: 'version 2' })
    expect(report.notComparable.get('after')).toMatchObject({ count: 1 })
  })

  it('versions that are not loaded', async () => {
    const report = await one('moving', { definitions: [order2] })
    expect(report.notComparable.get('version')).toMatchObject({ version: 1, detail: 'order version 1' })
    expect(report.equal).toBe(0)
  })
})

describe('another version of a definition on recorded history', () => {
  it('whole lives: the first divergence, or none', async () => {
    expect((await one('shipped', { as: 2 })).divergence).toMatchObject({
      version: 1,
      path: 'context.total',
      replayed: 0,
    })
    const states = await one('shipped', { as: 2, statesOnly: true })
    expect(states).toMatchObject({ divergence: null, equal: 5, rows: 5 })
    expect((await one('shipped', { as: 3, statesOnly: true })).divergence).toMatchObject({
      version: 5,
      machineVersion: 3,
      path: 'value',
      stored: 'paid',
      replayed: 'packing',
    })
  })

  it('a migration in the middle', async () => {
    const migrated = await one('shipped', { as: 2, migrateAfter: 3, statesOnly: true })
    expect(migrated).toMatchObject({ divergence: null, equal: 5 })
    expect((await one('shipped', { as: 3, migrateAfter: 2, statesOnly: true })).divergence).toMatchObject({
      version: 3,
      is: 'failure',
      reason: stringContaining('nobody knows where checkout went'),
    })
  })

  it('a session that was migrated, as if it always had been of the new version', async () => {
    expect(await one('moving', { as: 2, statesOnly: true })).toMatchObject({
      divergence: null,
      notComparable: new Map(),
    })
  })
})

describe('the command', { timeout: 90_000 }, () => {
  async function audit(...args: string[]): Promise<Said> {
    const child = spawn(process.execPath, [
      AUDIT,
      'replay',
      '--database-url',
      place.databaseUrl,
      '--data-dir',
      folder,
      ...args,
    ])
    let [out, error] = ['', '']
    child.stdout.on('data', (text) => (out += String(text)))
    child.stderr.on('data', (text) => (error += String(text)))
    const [code] = (await once(child, 'close')) as [number]
    return { code, out, error }
  }

  it('tells of each session that was named, and ends with 0 if all is equal', async () => {
    const said = await audit('cart', 'run', MACHINES)
    expect(said.error).toBe('')
    expect(said.code).toBe(0)
    expect(said.out).toMatch(
      /^cart: 6 rows: 6 rows equal\nrun: \d+ rows: \d+ rows equal\nReplayed \d+ rows of 2 sessions: \d+ equal, 0 sessions diverged, 0 rows not comparable.\n$/,
    )
  })

  it('sums up the sessions of a machine, tells those that diverged, and ends with 1', async () => {
    const said = await audit('--machine', 'order', '--as', '3', '--states-only', '--limit', '50', MACHINES)
    expect(said.error).toBe('')
    expect(said.code).toBe(1)
    expect(said.out).toContain('shipped: 5 rows: 4 rows equal, 1 diverged\n  diverged at version 5 of epoch')
    expect(said.out).toContain(
      '(event "NEXT"), replayed with version 3 of the definition, in value:\n    stored    "paid"\n    replayed  "packing"\n',
    )
    expect(said.out).toMatch(/Replayed \d+ rows of 8 sessions: \d+ equal, \d sessions diverged/)
    const json = await audit('--machine', 'order', '--limit', '1', '--json', MACHINES)
    const [report, sum] = json.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object)
    expect(report).toMatchObject({ sessionId: 'moving', divergence: null, notComparable: {} })
    expect(sum).toMatchObject({ sum: { sessions: 1, diverged: 0 } })
  })

  it('sessions of which retention has left only the head are counted, and keep no others from being told', async () => {
    await place.pool.query(
      `insert into troupe_sessions (session_id, machine, epoch, version, commit_id, status, updated_at)
       values ('headless', 'checkout', 1, 9, 'c', 'done', now())`,
    )
    const all = await refused('--machine', 'checkout')
    expect(all).toMatchObject({ code: 0, error: '' })
    expect(all.out).toMatch(/^Replayed 6 rows of 2 sessions: 6 equal, .*\n  1 session without a row/)
    const named = await refused('headless', 'cart')
    expect(named).toMatchObject({
      code: 2,
      out: expect.stringMatching(/^cart: 6 rows: 6 rows equal\n/) as unknown,
    })
    expect(named.error).toContain('the audit holds nothing of a session "headless"')
    await place.pool.query(`delete from troupe_sessions where session_id = 'headless'`)
  })

  it('says where no session came as far as the other version, and does not call that a proof', async () => {
    const said = await audit('shipped', '--as', '2', '--migrate-after', '99', MACHINES)
    expect(said).toMatchObject({ code: 2, error: '' })
    expect(said.out).toContain('shipped: 5 rows: 5 rows equal\n  nothing of it ran under version 2\n')
    expect(said.out).toContain('Nothing ran under version 2.')
  })

  it('refuses files that are not there', async () => {
    const said = await audit('cart', './nowhere.ts')
    expect(said).toMatchObject({ code: 2, out: '' })
    expect(said.error).toContain('there is no such file or folder of definitions')
  })

  it('ends with 2 where nothing could be compared', async () => {
    await place.pool.query(`update troupe_transitions set forgotten_at = now() where session_id = 'rolled'`)
    const said = await audit('rolled', MACHINES)
    expect(said).toMatchObject({ code: 2, error: '' })
    expect(said.out).toContain('not comparable: 2, their contents were forgotten')
    expect(said.out).toContain('Nothing could be compared.')
  })

  /** In this process, where no file is to be loaded. */
  const refused = (...args: string[]): Promise<Said> =>
    saidBy(['replay', '--database-url', place.databaseUrl, '--data-dir', folder, ...args])

  it.each([
    [[], 'say which sessions: their ids, or --machine NAME'],
    [['cart', '--machine', 'order'], 'say ids or --machine, not both'],
    [['--machine', 'checkout', '--limit', '0'], '--limit: must be at least 1, and is 0'],
    [['cart', '--limit', '3'], '--limit is of --machine'],
    [['nobody'], 'the audit holds nothing of a session "nobody"'],
    [['shipped'], 'version 1 of session "shipped" needs order version 1, which is not loaded: name its file'],
    [['cart', '--as', '9'], 'version 1 of session "cart" needs checkout version 9, which is not loaded'],
    [['--machine', 'nothing'], 'no definition "nothing" is loaded; there are document, checkout'],
    [['--machine', 'checkout', '--as', '2'], '"checkout" version 2 is not loaded; there are 1'],
    [['cart', '--migrate-after', '2'], 'give both'],
    [['cart', '--as', 'two'], '--as: "two" is no whole number'],
  ])('refuses %j', async (args, reason) => {
    const said = await refused(...args)
    expect(said.error).toContain(reason)
    expect(said.error.trim().split('\n')).toHaveLength(1)
    expect(said).toMatchObject({ code: 2, out: '' })
  })
})
