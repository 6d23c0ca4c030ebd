/** What the audit says of sessions, on lives that are known. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exportRows } from '../../persistence/audit/export.ts'
import { migrate } from '../../persistence/audit/migrations.ts'
import { ask, askFunnel } from '../../persistence/audit/questions.ts'
import type { QuestionName, StatsQuestion } from '../../persistence/audit/questions.ts'
import { listRejects, replayReject } from '../../persistence/audit/rejects.ts'
import { withSnapshot } from '../../persistence/audit/snapshot.ts'
import { verify } from '../../persistence/audit/verify.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { EPOCH, writeLife } from './audit-rows.ts'
import { AuditPlace } from './audit-support.ts'
import { timelineOf } from './audit-timeline.ts'

const START = Date.parse('2026-01-31T23:59:30Z')
const S = 1_000
const event = (type: string) => ({ event: { type }, principal: 'ann', key: `key-${type}` })

let place: AuditPlace
beforeAll(async () => {
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
  // One that is paid after 10 and 50 s, over midnight; one that leaves from the cart; one that stays at the payment.
  await writeLife(place, 'paid', 'order', [
    { version: 1, atMs: START, value: 'cart', audit: { input: { secret: 'shoes' } } },
    { version: 2, atMs: START + 4 * S, value: 'cart', audit: event('ADD') },
    { version: 3, atMs: START + 10 * S, value: 'payment', audit: event('CHECKOUT') },
    {
      version: 4,
      atMs: START + 60 * S,
      value: 'paid',
      status: 'done',
      audit: event('PAY'),
      context: { sum: 7 },
    },
    { version: 5, atMs: START + 90 * S, value: null, kind: 'expired' },
  ])
  await writeLife(place, 'left', 'order', [
    { version: 1, atMs: START, value: 'cart' },
    { version: 2, atMs: START + 20 * S, value: null, kind: 'deleted' },
  ])
  await writeLife(place, 'waiting', 'order', [
    { version: 1, atMs: START + 30 * S, value: 'cart' },
    { version: 2, atMs: START + 60 * S, value: 'payment', audit: event('CHECKOUT') },
    {
      version: 3,
      atMs: START + 70 * S,
      value: 'payment',
      kind: 'timer',
      audit: { event: { type: 'REMIND' }, sender: 'clock', failed: 'no mail server' },
    },
  ])
  await writeLife(place, 'other', 'door', [{ version: 1, atMs: START, value: { open: 'wide' } }])
  await place.pool.query(
    `insert into troupe_rejects (partition, stream_id, digest, reason, fields) values (1, '1-1', 'd', 'odd', '[]')`,
  )
})
afterAll(() => place.destroy())

const defaults: StatsQuestion = { per: 'minute', stuckAfterMs: 1, limit: 50 }
const answers = (name: QuestionName, about: Partial<StatsQuestion> = {}) =>
  withSnapshot(place.pool, (snapshot) => ask(snapshot, name, { ...defaults, machine: 'order', ...about }))
const funnel = (states: string[], since?: Date) =>
  withSnapshot(place.pool, (snapshot) => askFunnel(snapshot, 'order', states, since))

describe('questions', () => {
  it('time in states counts who has left, and stays that go on; a transition within a state begins no other stay', async () => {
    expect(await answers('times')).toEqual([
      { machine: 'order', state: 'cart', stays: 3, still_there: 0, mean_s: 20, p50_s: 20, p95_s: 29 },
      { machine: 'order', state: 'payment', stays: 1, still_there: 1, mean_s: 50, p50_s: 50, p95_s: 50 },
    ])
    expect(await answers('times', { machine: 'door' })).toEqual([
      {
        machine: 'door',
        state: '{"open": "wide"}',
        stays: 0,
        still_there: 1,
        mean_s: null,
        p50_s: null,
        p95_s: null,
      },
    ])
  })

  it('transitions are counted by machine, event and minute, over midnight and since a time', async () => {
    const all = await answers('activity')
    expect(all).toContainEqual({
      time: '2026-01-31T23:59Z',
      machine: 'order',
      event: '(created)',
      transitions: 2,
    })
    expect(all).toContainEqual({
      time: '2026-02-01T00:00Z',
      machine: 'order',
      event: 'CHECKOUT',
      transitions: 1,
    })
    expect(all.reduce((sum, { transitions }) => sum + Number(transitions), 0)).toBe(10)
    const late = await answers('activity', { since: new Date(START + 60 * S), per: 'day' })
    expect(late.reduce((sum, { transitions }) => sum + Number(transitions), 0)).toBe(4)
    expect(new Set(late.map(({ time }) => time))).toEqual(new Set(['2026-02-01T00:00Z']))
  })

  it('sessions active over time are counted once a span, with those that began and ended in it', async () => {
    expect(await answers('active')).toEqual([
      { time: '2026-02-01T00:01Z', machine: 'order', active: 1, created: 0, ended: 1 },
      { time: '2026-02-01T00:00Z', machine: 'order', active: 2, created: 1, ended: 0 },
      { time: '2026-01-31T23:59Z', machine: 'order', active: 2, created: 2, ended: 1 },
    ])
    expect(await answers('active', { per: 'day' })).toEqual([
      { time: '2026-02-01T00:00Z', machine: 'order', active: 2, created: 1, ended: 1 },
      { time: '2026-01-31T00:00Z', machine: 'order', active: 2, created: 2, ended: 1 },
    ])
  })

  it('a funnel counts who came so far, in this order', async () => {
    const sums = async (...args: Parameters<typeof funnel>) =>
      (await funnel(...args)).map(({ sessions }) => sessions)
    expect(await sums(['cart', 'payment', 'paid'])).toEqual([3, 2, 1])
    expect(await sums(['payment', 'cart'])).toEqual([2, 0])
    expect(await sums(['cart', 'paid'])).toEqual([3, 1])
    expect(await sums(['nowhere'])).toEqual([0])
    expect(await sums(['cart'], new Date(START + 25 * S))).toEqual([1])
    const doors = await withSnapshot(place.pool, (snapshot) =>
      askFunnel(snapshot, 'door', ['{"open":"wide"}']),
    )
    expect(doors).toEqual([{ step: 1, state: '{"open": "wide"}', sessions: 1 }])
  })

  it('where sessions end, and where those that go on are stuck', async () => {
    expect(await answers('ends')).toEqual([
      { machine: 'order', ending: 'deleted', state: 'cart', sessions: 1 },
      { machine: 'order', ending: 'expired', state: 'paid', sessions: 1 },
    ])
    const [stuck, ...none] = await answers('stuck')
    expect(none).toEqual([])
    expect(stuck).toMatchObject({
      machine: 'order',
      state: 'payment',
      active: 1,
      stuck: 1,
      longest: 'waiting',
    })
    expect(await answers('stuck', { stuckAfterMs: 1e13 })).toMatchObject([{ active: 1, stuck: 0 }])
  })

  it('what a machine threw at is told with its reason, and so is what could not be stored', async () => {
    expect(await answers('failures')).toEqual([
      {
        kind: 'failed',
        machine: 'order',
        event: 'REMIND',
        reason: 'no mail server',
        times: 1,
        last: '2026-02-01T00:00Z',
      },
      expect.objectContaining({ kind: 'rejected', machine: null, reason: 'odd', times: 1 }),
    ])
    expect((await timelineOf(place, 'waiting')).at(-1)).toMatchObject({
      sender: 'clock',
      failed: 'no mail server',
    })
  })

  it('views say the same as the functions over all that is kept', async () => {
    const views = ['activity', 'stays', 'time_in_states', 'active_sessions', 'ends', 'idle', 'failures']
    const counts = await Promise.all(views.map((view) => place.count(`troupe_${view}`)))
    expect(counts).toEqual([10, 7, 3, 4, 2, 2, 2])
  })
})

describe('an export', () => {
  const all = async (question: Parameters<typeof exportRows>[1]): Promise<string> => {
    let text = ''
    await exportRows(place.pool, question, async (part) => void (text += part))
    return text
  }

  it('holds every row, in order, as JSON', async () => {
    const rows = (await all({ format: 'jsonl' }))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { sessionId: string; version: number; day: string })
    expect(rows).toHaveLength(await place.count('troupe_transitions'))
    expect(rows.map(({ day }) => day)).toEqual(rows.map(({ day }) => day).sort())
    expect(rows.find(({ sessionId, version }) => sessionId === 'paid' && version === 4)).toMatchObject({
      day: '2026-02-01',
      committedAt: '2026-02-01T00:00:30.000Z',
      event: { type: 'PAY' },
      from: 'payment',
      to: 'paid',
      context: { sum: 7 },
      principal: 'ann',
      previousCommitId: 'n-paid-3',
    })
  })

  it('is a table with its heads as CSV, of one session or since a time', async () => {
    const lines = (await all({ format: 'csv', sessionId: 'paid', since: new Date(START + 60 * S) })).split(
      '\r\n',
    )
    expect(lines[0]).toMatch(/^day,sessionId,epoch,version,/)
    expect(lines.slice(1)).toEqual([
      expect.stringContaining(
        `2026-02-01,paid,${EPOCH},4,n-paid-4,n-paid-3,2026-02-01T00:00:30.000Z,event,order,1,"{""type"": ""PAY""}"`,
      ),
      expect.stringContaining(`,5,n-paid-5,`),
      '',
    ])
  })

  it('waits for who takes it, and fetches in pieces that are small whatever the rows hold', async () => {
    const big = await AuditPlace.create(redisUrl(), databaseUrl())
    try {
      await migrate(big.pool)
      const text = 'x'.repeat(200_000)
      await writeLife(
        big,
        'big',
        'order',
        Array.from({ length: 40 }, (_, index) => ({
          version: index + 1,
          atMs: START,
          value: 'on',
          context: { text },
        })),
      )
      const sizes: number[] = []
      await exportRows(big.pool, { format: 'jsonl' }, async (part) => void sizes.push(part.length))
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(40 * 200_000)
      expect(Math.max(...sizes)).toBeLessThan(3_000_000)
    } finally {
      await big.destroy()
    }
  })
})

describe('proof', () => {
  const proven = async (id: string) => (await verify(place.pool, { sessionIds: [id] })).findings

  it('AU2 tells what a server took back, and that the raised epoch goes on from before it', async () => {
    const raised = String(Number(EPOCH) + 1)
    await writeLife(place, 'back', 'door', [
      ...[1, 2, 3, 4, 5].map((version) => ({ version, atMs: START, value: 'a' })),
      { version: 4, atMs: START + S, value: 'b', epoch: raised, commit: 'again', previous: 'n-back-3' },
    ])
    expect(await proven('back')).toEqual([
      { kind: 'taken-back', sessionId: 'back', epoch: EPOCH, from: 4, to: 5, by: raised },
    ])
    await place.pool.query(
      `delete from troupe_transitions where session_id = 'back' and version in (4, 5) and epoch = ${EPOCH}`,
    )
    expect(await proven('back')).toEqual([])
    await place.pool.query(`delete from troupe_transitions where session_id = 'back' and version = 3`)
    expect(await proven('back')).toEqual([
      { kind: 'missing', sessionId: 'back', epoch: raised, from: 1, to: 3 },
    ])
    await place.pool.query(`delete from troupe_transitions where session_id = 'back'`)
  })

  it('where older days are not kept, or only later ones are asked for, a session may begin anywhere, and not go on anywhere', async () => {
    await writeLife(
      place,
      'old',
      'door',
      [1, 2, 3, 4, 5].map((version) => ({ version, atMs: START + version * 20 * S, value: 'a' })),
    )
    const since = { sessionIds: ['old'], since: new Date(START + 50 * S) }
    expect(await verify(place.pool, since)).toMatchObject({
      rows: 3,
      findings: [],
      days: { from: '2026-02-01', to: '2026-02-01' },
    })
    await place.pool.query(`delete from troupe_transitions where session_id = 'old' and day = '2026-01-31'`)
    expect(await proven('old')).toMatchObject([{ kind: 'missing', from: 1, to: 1 }])
    expect(await verify(place.pool, { sessionIds: ['old'], keptSince: '2026-02-01' })).toMatchObject({
      findings: [],
    })
    await place.pool.query(`delete from troupe_transitions where session_id = 'old' and version = 4`)
    expect(await verify(place.pool, since)).toMatchObject({ findings: [{ kind: 'missing', from: 4, to: 4 }] })
    await place.pool.query(`delete from troupe_transitions where session_id = 'old'`)
  })
})

it('a reject that can be stored now becomes its row and is no reject any more; another stays with its reason', async () => {
  const fields = (entry: Record<string, string>) =>
    JSON.stringify(Object.entries(entry).map(([name, text]) => [name, Buffer.from(text).toString('base64')]))
  const header = `mended ${EPOCH} 1 c-1 - created ${START}`
  const add = (id: string, entry: Record<string, string>) =>
    place.pool.query(
      `insert into troupe_rejects (partition, stream_id, digest, session_id, reason, fields) values (3, $1, 'd', 'mended', 'then', $2)`,
      [id, fields(entry)],
    )
  await add('1-1', {
    h: header,
    m: '{"machine":"door","machineVersion":1}',
    s: '{"status":"active","value":"open"}',
  })
  await add('1-2', { h: `${header} more`, m: '{}', s: '' })
  const outcomes: unknown[] = []
  for await (const rejects of listRejects(place.pool, 'mended'))
    for (const reject of rejects) outcomes.push(await replayReject(place.pool, reject))
  expect(outcomes).toEqual([
    { kind: 'stored' },
    { kind: 'refused', reason: 'field h has 8 words instead of 7' },
  ])
  expect(await timelineOf(place, 'mended')).toMatchObject([{ version: 1, to: '"open"' }])
  const { rows } = await place.pool.query(
    `select stream_id, reason from troupe_rejects where session_id = 'mended'`,
  )
  expect(rows).toEqual([{ stream_id: '1-2', reason: 'field h has 8 words instead of 7' }])
})
