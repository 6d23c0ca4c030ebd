/** `npm run audit -- …` as people and scripts use it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { parseSessionId } from '../../actors/session.ts'
import { partitionOf } from '../../actors/partitions.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { AuditWakeup } from '../../persistence/audit/queue.ts'
import { runAudit } from '../../runtime/cli/audit-commands.ts'
import { EPOCH, writeLife } from '../persistence/audit-rows.ts'
import { AuditPlace, quiet, shortTimes, transitions, until } from '../persistence/audit-support.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'

const AUDIT = join(import.meta.dirname, '..', '..', 'runtime/cli/audit.ts')
const START = Date.parse('2026-01-31T12:00:00Z')

let place: AuditPlace
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'troupe-audit-'))
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
  await writeLife(place, 'whole', 'order', [
    { version: 1, atMs: START, value: 'cart', audit: { input: { of: 'Ann' }, principal: 'ann', key: 'k1' } },
    {
      version: 2,
      atMs: START + 1000,
      value: { paid: 'packing' },
      audit: { event: { type: 'PAY' } },
      context: { sum: 7 },
    },
  ])
})
afterAll(async () => {
  await place.destroy()
  rmSync(folder, { recursive: true, force: true })
})

interface Said {
  readonly code: number
  readonly out: string
  readonly error: string
}

/** In this process, because a start of its own would take longer than all that it does. */
async function audit(args: readonly string[], flags: Record<string, string> = {}): Promise<Said> {
  let [out, error] = ['', '']
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => Boolean((out += String(text)))),
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => Boolean((error += String(text)))),
  ]
  const servers = {
    'database-url': place.databaseUrl,
    'key-prefix': place.prefix,
    'data-dir': folder,
    ...flags,
  }
  const given = Object.entries(servers).flatMap(([flag, value]) =>
    value === '' ? [] : [`--${flag}=${value}`],
  )
  // What is said last counts: an argument of the caller may be a server of its own.
  const [name, ...others] = args
  try {
    const code = await runAudit(name === undefined ? [] : [name, ...given, ...others])
    return { code, out, error }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}

it('show keeps what a client made up from looking like a line of its own', async () => {
  const forged = 'k\n    3  2026-01-31T12:00:02.000Z  event  \u001b[2K'
  await writeLife(place, 'forged', 'order', [
    { version: 1, atMs: START, value: 'cart', audit: { key: forged, failed: 'a\nb' } },
  ])
  const { out } = await audit(['show', 'forged'])
  expect(out.trim().split('\n')).toHaveLength(3)
  expect(out).toContain('key k\\u000a    3  2026')
  expect(out).toContain('failed: a\\u000ab')
  await place.pool.query(
    `delete from troupe_transitions where session_id = 'forged'; delete from troupe_sessions where session_id = 'forged'`,
  )
})

it('verify ends with 0 if all is whole, with 1 and a line for each finding, and says what it looked at', async () => {
  const whole = await audit(['verify'])
  expect(whole.code).toBe(0)
  expect(whole.out).toMatch(
    /^Looked at 2 rows of 1 session of 2026-01-31 in [\d.]+ s\.\nWhat still waits in Redis was not looked at/,
  )
  expect(whole.out).toContain('The audit is whole')

  await writeLife(place, 'torn', 'order', [
    { version: 1, atMs: START, value: 'cart' },
    { version: 2, atMs: START, value: 'cart' },
    { version: 2, atMs: START, value: 'paid', commit: 'twin', previous: 'n-torn-1' },
    { version: 5, atMs: START + 864e5, value: 'cart' },
    { version: 6, atMs: START + 864e5, value: 'cart', previous: 'stranger' },
  ])
  const torn = await audit(['verify'])
  expect(torn.code).toBe(1)
  expect(torn.out).toContain('Looked at 7 rows of 2 sessions from 2026-01-31 to 2026-02-01')
  expect(torn.out).toContain(
    `fork        torn (epoch ${EPOCH}): version 2 was committed as n-torn-2 and as twin`,
  )
  expect(torn.out).toContain(`missing     torn (epoch ${EPOCH}): versions 3 to 4 are not there`)
  expect(torn.out).toContain(`chain       torn (epoch ${EPOCH}): version 6 (n-torn-6) follows stranger`)
  expect(torn.out).toContain('3 findings.')
  expect((await audit(['verify', '--session', 'whole'])).code).toBe(0)
  const json = JSON.parse((await audit(['verify', '--since=2026-02-01', '--json'])).out) as object
  expect(json).toMatchObject({ isWhole: false, rows: 2, counts: { missing: 0, fork: 0, 'broken-chain': 1 } })
  await place.pool.query(`delete from troupe_transitions where session_id = 'torn'`)

  const { out, code } = await audit(['verify'])
  expect({ code, newest: out.split('\n').filter((line) => line.startsWith('  ')) }).toEqual({
    code: 1,
    newest: [
      `  newest      torn (epoch ${EPOCH}): version 6 (n-torn-6) is not there, though troupe_sessions names it as the newest`,
    ],
  })
  await place.pool.query(`delete from troupe_sessions where session_id = 'torn'`)

  const next = String(Number(EPOCH) + 1)
  await writeLife(place, 'again', 'order', [{ version: 1, atMs: START, value: 'cart' }])
  await writeLife(place, 'again', 'order', [{ version: 1, atMs: START, value: 'cart', epoch: next }])
  expect((await audit(['verify'])).out).toContain(
    `no end      again (epoch ${EPOCH}): neither deleted nor expired behind version 1, though another life began in epoch ${next}`,
  )
  await place.pool.query(
    `delete from troupe_transitions where session_id = 'again'; delete from troupe_sessions where session_id = 'again'`,
  )
})

it('verify of a session that nobody knows ends with 2, unless Redis does', async () => {
  const nothing = { code: 2, out: '', error: 'troupe: the audit holds nothing of a session "typo"\n' }
  const redis = { 'redis-url': redisUrl() }
  expect(await audit(['verify', '--session=typo'])).toEqual(nothing)
  expect(await audit(['verify', '--session=typo', '--json'], redis)).toEqual(nothing)
  expect(await audit(['verify', '--session=whole', '--since=1s'])).toMatchObject({ code: 0 })
  const key = place.keys.session(parseSessionId('typo') ?? ('' as never))
  await place.redis.set(key, `2 ${EPOCH} 1 c-1 order 1 1 1 0 0 0 0 - - - -\n{}\n{}`)
  expect(await audit(['verify', '--session=typo'], redis)).toMatchObject({
    code: 1,
    out: expect.stringContaining('not audited typo') as string,
  })
  await place.redis.del(key)
})

describe('verify beside Redis', () => {
  const env = () => ({ 'redis-url': redisUrl() })
  const record = (id: string, epoch: string, version: number, commit: string) =>
    place.redis.set(
      place.keys.session(parseSessionId(id) ?? ('' as never)),
      `2 ${epoch} ${version} ${commit} order 1 1 1 0 0 0 0 - - - -\n{}\n{}`,
    )

  it('tells what waits, what is in neither place, and what Redis has lost', async () => {
    await record('whole', EPOCH, 2, 'n-whole-2')
    const same = await audit(['verify'], env())
    expect(same.out).toContain('Compared with 1 session of Redis: nothing waits in the outboxes.')
    expect(same.code).toBe(0)

    const [first] = transitions('fresh', 1)
    if (first === undefined) throw new Error('no entry')
    await place.append([first])
    await record('fresh', first['e'] ?? '', 1, first['c'] ?? '')
    const behind = await audit(['verify'], env())
    expect(behind.out).toMatch(
      /2 sessions of Redis: 1 transition of the outboxes still waits, for [\d.]+ s at most; 1 session behind/,
    )
    expect(behind.code).toBe(0)

    await record('nowhere', EPOCH, 3, 'n-nowhere-3')
    await record('whole', EPOCH, 1, 'n-whole-1')
    const missing = await audit(['verify'], env())
    expect(missing.code).toBe(1)
    expect(missing.out).toContain(`not audited nowhere (epoch ${EPOCH}): version 3 (n-nowhere-3) is in Redis`)
    expect(missing.out).toContain(`lost        whole (epoch ${EPOCH}): version 2 (n-whole-2) is newer`)
    expect((await audit(['verify', '--session=whole'], env())).out).toContain('1 finding.')
  })

  it('tells of a session that goes on, and of which Redis holds nothing any more; not of one whose end is on its way', async () => {
    const id = parseSessionId('gone') ?? ('' as never)
    await writeLife(place, 'gone', 'order', [{ version: 1, atMs: START, value: 'cart' }])
    const lost = expect.stringContaining(`lost        gone (epoch ${EPOCH}): version 1 (n-gone-1)`) as string
    const asked = () => audit(['verify', '--session=gone'], env())
    expect(await asked()).toMatchObject({ code: 1, out: lost })

    // The sweep has yet to see that its record has vanished.
    const timers = place.keys.timers(partitionOf(id))
    await place.redis.zadd(timers, 1, 'x:gone')
    expect(await asked()).toMatchObject({ code: 0 })
    await place.redis.zrem(timers, 'x:gone')

    // It has ended, its tombstone has gone, and PostgreSQL has not heard of it yet.
    const outbox = place.keys.outbox(partitionOf(id))
    const end = await place.redis.xadd(
      outbox,
      '*',
      'h',
      `gone ${EPOCH} 2 c-2 n-gone-1 1 deleted`,
      'm',
      '{}',
      's',
      '',
    )
    expect(await asked()).toMatchObject({ code: 0 })
    await place.redis.xdel(outbox, end ?? '')

    expect(await asked()).toMatchObject({ code: 1, out: lost })
    await place.pool.query(`update troupe_sessions set ended_at = now() where session_id = 'gone'`)
    expect(await asked()).toMatchObject({ code: 0 })
    await place.pool.query(
      `delete from troupe_transitions where session_id = 'gone'; delete from troupe_sessions where session_id = 'gone'`,
    )
  })
})

it('show tells what happened, by whom, and how it stood at a version', async () => {
  const { out, code } = await audit(['show', 'whole'])
  expect(code).toBe(0)
  expect(out.split('\n')).toEqual([
    `Epoch ${EPOCH}, order version 1`,
    '    1  2026-01-31T12:00:00.000Z  created    {"of": "Ann"}  "cart"  by ann, on n, key k1',
    '    2  2026-01-31T12:00:01.000Z  event      {"type": "PAY"}  "cart" → {"paid": "packing"}  on n',
    '2 transitions.',
    '',
  ])
  const state = await audit(['show', 'whole', '--at=2'])
  expect(state.out).toContain('value    {"paid": "packing"}')
  expect(state.out).toContain('"sum": 7')
  const lines = (await audit(['show', 'whole', '--json'])).out.trimEnd().split('\n')
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { version: 1, input: { of: 'Ann' } },
    { version: 2, from: 'cart', to: { paid: 'packing' }, event: { type: 'PAY' }, context: { sum: 7 } },
  ])
  expect(await audit(['show', 'whole', '--at=9'])).toMatchObject({
    code: 2,
    error: 'troupe: the audit holds no version 9 of a session "whole"\n',
  })
  expect(await audit(['show', 'nobody'])).toMatchObject({
    code: 2,
    error: expect.stringContaining('nothing of a session "nobody"') as string,
  })
})

it('stats tells all, or one question; a funnel with its shares', async () => {
  const all = await audit(['stats', '--machine=order', '--states=cart,{"paid":"packing"}'])
  expect(all.code).toBe(0)
  expect(all.out).toContain('Time in each state, in seconds:\nmachine  state')
  expect(all.out).toMatch(/step  state +sessions  of_first  of_before\n +1  cart +1  100\.0 %/)
  const one = await audit(['stats', 'times', '--json'])
  expect(JSON.parse(one.out)).toMatchObject({
    question: 'times',
    answers: [{ state: 'cart', stays: 1, mean_s: 1 }, { still_there: 1 }],
  })
  expect((await audit(['stats', 'times', '--machine=nobody'])).out).toBe(
    'Time in each state, in seconds:\n  nothing\n\n',
  )
})

it('export writes rows to where it is told, and ends when its reader has enough', async () => {
  const { out, error, code } = await audit(['export', '--format=jsonl'])
  expect(code).toBe(0)
  expect(
    out
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { version: number }).version),
  ).toEqual([1, 2])
  expect(error).toBe('2 rows exported\n')

  await writeLife(
    place,
    'long',
    'order',
    Array.from({ length: 200 }, (_, index) => ({
      version: index + 1,
      atMs: START,
      value: 'cart',
      context: { text: 'x'.repeat(50_000) },
    })),
  )
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), AUDIT, 'export'], {
    cwd: folder,
    env: { PATH: process.env['PATH'], DATABASE_URL: place.databaseUrl },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  await once(child.stdout, 'data')
  child.stdout.destroy()
  const [status] = (await once(child, 'exit')) as [number | null]
  expect({ status, complaint }).toEqual({ status: 0, complaint: '' })
  await place.pool.query(
    `delete from troupe_transitions where session_id = 'long'; delete from troupe_sessions where session_id = 'long'`,
  )
})

it('rejects are listed with their reason, and forget blanks a session', async () => {
  expect(await audit(['rejects'])).toMatchObject({ code: 0, out: 'Every record could be stored.\n' })
  await place.pool.query(
    `insert into troupe_rejects (partition, stream_id, digest, session_id, reason, fields) values (5, '7-1', 'd', 'odd', 'field m is empty', '[]')`,
  )
  const listed = await audit(['rejects'])
  expect(listed.code).toBe(1)
  expect(listed.out).toMatch(/odd  outbox 5\/7-1, .* bytes: field m is empty\n1 record could not be stored/)
  const proof = await audit(['verify'])
  expect(proof.code).toBe(1)
  expect(proof.out).toContain('1 record could not be stored and stands aside: audit rejects.\n1 finding.\n')
  expect(proof.out).toContain('  rejected    odd: entry 7-1 of outbox 5 could not be stored\n')
  expect(JSON.parse((await audit(['verify', '--json'])).out)).toMatchObject({
    isWhole: false,
    rejects: 1,
    counts: { rejected: 1 },
    findings: [{ kind: 'rejected', sessionId: 'odd', partition: 5, streamId: '7-1' }],
  })
  expect(await audit(['verify', '--session=odd'])).toMatchObject({ code: 1 })
  expect(await audit(['verify', '--session=whole'])).toMatchObject({ code: 0 })
  const again = await audit(['rejects', '--replay'])
  expect(again).toMatchObject({
    code: 1,
    out: expect.stringContaining('0 records stored, 1 refused again') as string,
  })

  expect(await audit(['forget', 'whole'])).toMatchObject({
    code: 1,
    out: expect.stringContaining('The session has not ended') as string,
  })
  expect((await audit(['forget', 'whole', '--yes'])).out).toContain('It was forgotten before')
  const shown = await audit(['show', 'whole'])
  expect(shown.out).toContain('(forgotten ')
  expect(shown.out).not.toContain('Ann')
  expect(await audit(['show', 'whole', '--at=1'])).toMatchObject({
    code: 2,
    out: expect.stringContaining('its contents were forgotten') as string,
  })
  await place.pool.query('delete from troupe_rejects')
  expect((await audit(['verify'])).code).toBe(0)
})

it.each([
  [[], 'say what to do, one of verify, show'],
  [['prove'], 'there is no command "prove"'],
  [['verify', '--sinc=1'], "Unknown option '--sinc'"],
  [['verify', '--since=yesterday'], '--since: "yesterday" is no time'],
  [['verify', '--since=2026-02-31'], '--since: "2026-02-31" is no time'],
  [['stats', 'ends', '--limit=0'], '--limit: must be at least 1, and is 0'],
  [['verify', '--kept-since=01.02.2026'], '--kept-since: "01.02.2026" is no day'],
  [['verify', 'whole'], '"whole" is one word too many'],
  [['show'], 'the id of the session is missing'],
  [['show', 'a', '--at=-1'], ''],
  [['show', 'a', '--at=one'], '--at: "one" is no whole number'],
  [['show', 'a', '--epoch=x'], '--epoch: "x" is no epoch'],
  [['stats', 'nothing'], 'there is no question "nothing"'],
  [['stats', 'funnel'], 'a funnel is of a machine and its states'],
  [['stats', '--states={a'], '--states: {a is neither'],
  [['stats', '--per=year'], '--per: "year" is not known'],
  [['stats', '--stuck-after=soon'], '--stuck-after: "soon" is no span of time'],
  [['export', '--format=xml'], '--format: "xml" is not known'],
  [['forget', 'nobody'], 'the audit holds nothing of a session "nobody"'],
  [['verify', '--database-url=mysql://x'], '--database-url'],
  [['verify', '--database-url=postgres://troupe@127.0.0.1:1/none'], 'cannot be reached'],
])('what cannot be asked gets one line and ends with 2: %j', async (args, line) => {
  const { code, out, error } = await audit(args)
  expect(code).toBe(2)
  expect(out).toBe('')
  expect(error.trimEnd().split('\n')).toEqual([expect.stringContaining(`troupe: `)])
  expect(error).toContain(line)
})

it('jobs that have failed for good are listed with their reason, and tried again', async () => {
  const redis = { 'redis-url': redisUrl() }
  const failing = await AuditPlace.create(redisUrl(), databaseUrl())
  const of = { ...redis, 'database-url': failing.databaseUrl, 'key-prefix': failing.prefix }
  const wakeup = new AuditWakeup({
    ...{ redisUrl: redisUrl(), prefix: failing.prefix, log: quiet },
    backoffMs: 50,
  })
  try {
    await migrate(failing.pool)
    expect(await audit(['jobs'], of)).toMatchObject({ code: 0, out: 'No job has failed for good.\n' })
    await failing.pool.query('alter table troupe_sessions rename to elsewhere')
    const service = await failing.start()
    await failing.append(transitions('kept', 3))
    wakeup.notify(partitionOf('kept'))
    await until(async () => (await audit(['jobs'], of)).code === 1, 'a job has failed')
    const listed = await audit(['jobs'], of)
    expect(listed.out).toMatch(/group \d, 5 attempts: PostgreSQL refuses the batch: .*troupe_sessions/)
    await service.stop({ deadlineMs: 0 })
    await failing.pool.query('alter table elsewhere rename to troupe_sessions')
    expect((await audit(['jobs', '--retry'], of)).out).toMatch(/\d jobs? tried again\.\n$/)
    expect(await audit(['jobs'], of)).toMatchObject({ code: 0 })
    await failing.start({ times: { ...shortTimes, sweepMs: 60_000, staleMs: 60_000 } })
    await until(async () => (await failing.waiting()) === 0, 'drained without the sweep')
    expect(await failing.count('troupe_transitions')).toBe(3)
    expect(await audit(['jobs'], { 'redis-url': '' })).toMatchObject({ code: 2 })
  } finally {
    await wakeup.stop({ deadlineMs: 500 })
    await failing.destroy()
  }
})

it('a place without an audit is told, and nothing is made there', async () => {
  expect(await audit(['verify'], { 'database-url': '' })).toMatchObject({
    code: 2,
    error: expect.stringContaining('there is no audit: give DATABASE_URL') as string,
  })
  const empty = await AuditPlace.create(redisUrl(), databaseUrl())
  try {
    expect(await audit(['verify'], { 'database-url': empty.databaseUrl })).toMatchObject({
      code: 2,
      error: expect.stringContaining('this database holds no audit') as string,
    })
    const { rows } = await empty.pool.query(`select 1 from pg_class where relname like 'troupe%'`)
    expect(rows).toEqual([])
  } finally {
    await empty.destroy()
  }
})

it('a schema that is older is told and left as it is; a newer one is asked', async () => {
  const other = await AuditPlace.create(redisUrl(), databaseUrl())
  const of = { 'database-url': other.databaseUrl }
  try {
    await migrate(other.pool)
    await other.pool.query(
      'alter table troupe_transitions drop column redacted; delete from troupe_migrations where version = 5',
    )
    for (const args of [['verify'], ['export'], ['show', 'x'], ['forget', 'x', '--yes']]) {
      const { code, error } = await audit(args, of)
      expect({ code, error }).toEqual({
        code: 2,
        error: expect.stringMatching(
          /^troupe: the schema of this audit is older \(step 4\) .* \(step 5\): its audit process \(npm start\) brings it up to date\n$/,
        ) as string,
      })
    }
    expect(await other.count('troupe_migrations')).toBe(4)
    await migrate(other.pool)
    await other.pool.query(`insert into troupe_migrations (version, name) values (99, 'of tomorrow')`)
    expect(await audit(['verify'], of)).toMatchObject({ code: 0 })
    expect(await audit(['export'], of)).toMatchObject({ code: 0 })
  } finally {
    await other.destroy()
  }
})
