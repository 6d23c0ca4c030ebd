/** `npm run audit -- …` as people and scripts use it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { partitionOf } from '../../actors/partitions.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { AuditWakeup } from '../../persistence/audit/queue.ts'
import { EPOCH, writeLife } from '../persistence/audit-rows.ts'
import { AuditPlace, quiet, shortTimes, transitions, until } from '../persistence/audit-support.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { AuditDesk, START } from './run-audit.ts'

const AUDIT = join(import.meta.dirname, '..', '..', 'dist/runtime/cli/audit.js')

let desk: AuditDesk
let place: AuditPlace
beforeAll(async () => {
  desk = await AuditDesk.open()
  place = desk.place
})
afterAll(() => desk.close())

const audit: AuditDesk['ask'] = (args, flags) => desk.ask(args, flags)

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
  const child = spawn(process.execPath, [AUDIT, 'export'], {
    cwd: desk.folder,
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
      'alter table troupe_transitions drop column redacted; delete from troupe_migrations where version >= 5',
    )
    for (const args of [['verify'], ['export'], ['show', 'x'], ['forget', 'x', '--yes']]) {
      const { code, error } = await audit(args, of)
      expect({ code, error }).toEqual({
        code: 2,
        error: expect.stringMatching(
          /^troupe: the schema of this audit is older \(step 4\) .* \(step 6\): its audit process \(npm start\) brings it up to date\n$/,
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
