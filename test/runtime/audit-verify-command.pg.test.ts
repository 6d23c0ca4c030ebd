/** `npm run audit -- verify` as people and scripts use it, alone and beside Redis. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseSessionId } from '../../actors/session.ts'
import { partitionOf } from '../../actors/partitions.ts'
import { EPOCH, writeLife } from '../persistence/audit-rows.ts'
import { transitions, type AuditPlace } from '../persistence/audit-support.ts'
import { redisUrl } from '../support/servers.ts'
import { AuditDesk, START } from './run-audit.ts'

let desk: AuditDesk
let place: AuditPlace
beforeAll(async () => {
  desk = await AuditDesk.open()
  place = desk.place
})
afterAll(() => desk.close())

const audit: AuditDesk['ask'] = (args, flags) => desk.ask(args, flags)

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
  await place.redis.set(key, `3 1 0 - ${EPOCH} 1 c-1 order 1 1 0 0 0 - - -\n{}\n{}`)
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
      `3 1 0 - ${epoch} ${version} ${commit} order 1 1 0 0 0 - - -\n{}\n{}`,
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
      `gone ${EPOCH} 2 c-2 n-gone-1 deleted 1`,
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
