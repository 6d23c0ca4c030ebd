/** What a definition keeps out of the audit: nowhere in PostgreSQL, all there for the session, and never equal in a replay. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { assign, fromPromise, setup } from 'xstate'
import { defineSession } from '../../../actors/define-session.ts'
import { PARTITIONS } from '../../../actors/partitions.ts'
import { sendToSession } from '../../../actors/mail.ts'
import type { Undelivered } from '../../../actors/mail.ts'
import { migrate } from '../../../persistence/audit/migrations.ts'
import { AuditPlace } from '../../persistence/audit-support.ts'
import { sleepMs, until } from '../../support/hosts.ts'
import { databaseUrl, redisUrl } from '../../support/servers.ts'
import { saidBy } from '../run-audit.ts'
import type { Said } from '../run-audit.ts'
import { drainAll, withRuntime } from './recorded-lives.ts'
import { replayed } from './replayed.ts'

const SECRET = '4111-1111'

type Card = { readonly card: string }
type PaymentEvent =
  | { type: 'PAY'; card: string; sum: number }
  | { type: 'NOTE'; text: string }
  | { type: 'TELL'; to: string }
  | { type: 'CLOSE' }
  | Undelivered

/** The card is in the input, in events of clients, timers, promises and sessions, in the context and in the output. */
const machine = setup({
  types: {} as {
    context: { card: string; sums: number[] }
    events: PaymentEvent
    input: Card
    output: Card
  },
  actors: { charge: fromPromise(({ input }: { input: Card }) => Promise.resolve({ charged: input.card })) },
  actions: {
    tell: sendToSession(
      ({ event }) => (event as unknown as { to: string }).to,
      ({ context }) => ({ type: 'PAY', card: (context as unknown as Card).card, sum: 1 }),
    ),
  },
}).createMachine({
  id: 'payment',
  context: ({ input }) => ({ card: input.card, sums: [] }),
  output: ({ context }) => ({ card: context.card }),
  initial: 'open',
  on: {
    PAY: {
      actions: assign({
        card: ({ event }) => event.card,
        sums: ({ context, event }) => [...context.sums, event.sum],
      }),
    },
    TELL: { actions: 'tell' },
    'troupe.undelivered': { actions: assign({ sums: ({ context }) => [...context.sums, 0] }) },
    CLOSE: '.closed',
  },
  states: {
    open: { invoke: { src: 'charge', input: ({ context }) => ({ card: context.card }), onDone: 'charged' } },
    charged: { on: { NOTE: 'noted' } },
    noted: { entry: ({ self }) => void self },
    closed: { type: 'final' },
  },
})

const payment = defineSession({
  name: 'payment',
  version: 1,
  machine,
  audit: {
    input: 'none',
    event: (event) => {
      switch (event.type) {
        case 'PAY':
          return { ...event, card: undefined }
        case 'TELL':
        case 'NOTE':
        case 'CLOSE':
          return event
        default:
          return undefined
      }
    },
    context: ({ sums }) => ({ sums }),
    output: 'none',
  },
})
/** Only what it knows. */
const ledger = defineSession({
  name: 'ledger',
  version: 1,
  machine,
  audit: { context: 'none', output: 'none' },
})
const broken = defineSession({
  name: 'broken',
  version: 1,
  machine,
  audit: {
    context: ({ sums }) => ({ first: (sums[0] as unknown as number[])[0], sums }),
    event: () => {
      throw new Error('no')
    },
    input: (() => new Date()) as never,
    output: 'none',
  },
})

let place: AuditPlace
/** What was in the outboxes before it went to PostgreSQL, an entry a line. */
let waited: readonly string[]
beforeAll(async () => {
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
  await withRuntime(place, [payment, ledger, broken], async (runtime) => {
    for (const [id, definition] of [
      ['other', payment],
      ['p', payment],
      ['l', ledger],
      ['b', broken],
    ] as const) {
      await runtime.createSession(definition, { id, input: { card: SECRET } })
      await until(async () => (await runtime.getSession(id))?.value === 'charged')
      await runtime.updateSession(id, { type: 'PAY', card: `${SECRET}-${id}`, sum: 7 })
      const to = { p: 'other', other: 'nobody', l: null, b: null }[id]
      if (to !== null) await runtime.updateSession(id, { type: 'TELL', to })
      await runtime.updateSession(id, { type: 'NOTE', text: 'seen' })
    }
    await until(async () => (await runtime.getSession<typeof payment>('other'))?.context.sums.length === 3)
    await sleepMs(50)
  })
  // Another process goes on with what the record holds, which is all.
  await withRuntime(place, [payment, ledger, broken], async (runtime) => {
    expect(await runtime.getSession('p')).toMatchObject({ context: { card: `${SECRET}-p`, sums: [7] } })
    for (const id of ['p', 'b']) await runtime.updateSession(id, { type: 'CLOSE' })
    expect(await runtime.getSession('p')).toMatchObject({ status: 'done', output: { card: `${SECRET}-p` } })
  })
  waited = await waitingText()
  await drainAll(place)
  expect(await place.waiting()).toBe(0)
}, 60_000)
afterAll(() => place.destroy())

const ROWS = `select kind, event_type, event, input, context, output, to_value, redacted from troupe_transitions
  where session_id = $1 order by epoch, version`

async function waitingText(): Promise<string[]> {
  const outboxes = Array.from({ length: PARTITIONS }, (_, partition) => place.keys.outbox(partition))
  const entries = await Promise.all(outboxes.map((key) => place.redis.xrange(key, '-', '+')))
  return entries.flat().map(([, fields]) => fields.join(' '))
}

it('is nowhere on the way to PostgreSQL, nor there', async () => {
  const others = waited.filter((entry) => !entry.includes('"ledger"'))
  expect(others.length).toBeGreaterThan(10)
  expect(others.filter((entry) => entry.includes(SECRET))).toEqual([])
  for (const table of ['troupe_transitions', 'troupe_sessions']) {
    const { rows } = await place.pool.query(
      `select * from ${table} t where t::text like '%${SECRET}%' and t::text not like '%ledger%'`,
    )
    expect(rows, table).toEqual([])
  }
  const { rows } = await place.pool.query('select count(*)::int from troupe_rejects')
  expect(rows).toEqual([{ count: 0 }])
})

it('rows hold the rest, and say of which parts', async () => {
  const { rows } = await place.pool.query(ROWS, ['p'])
  expect(rows).toMatchObject([
    { kind: 'created', input: null, context: { sums: [] }, redacted: ['input', 'context'], to_value: 'open' },
    {
      kind: 'result',
      event: { type: 'xstate.done.actor.0.payment.open' },
      redacted: ['event', 'context'],
      to_value: 'charged',
    },
    {
      kind: 'event',
      event: { type: 'PAY', sum: 7 },
      event_type: 'PAY',
      context: { sums: [7] },
      redacted: ['event', 'context'],
    },
    { kind: 'event', event_type: 'TELL', redacted: ['context'] },
    { kind: 'event', event: { type: 'NOTE', text: 'seen' }, redacted: ['context'], to_value: 'noted' },
    { kind: 'event', output: null, redacted: ['context', 'output'], to_value: 'closed' },
  ])
  const mail = await place.pool.query(ROWS.replace('order by', "and kind = 'mail' order by"), ['other'])
  expect(mail.rows.map(({ event, redacted }: Record<string, unknown>) => [event, redacted])).toEqual(
    expect.arrayContaining([
      [{ type: 'PAY', sum: 1 }, ['event', 'context']],
      [{ type: 'troupe.undelivered' }, ['event', 'context']],
    ]),
  )
  const sessions = await place.pool.query(
    'select context, output, status from troupe_sessions where session_id = $1',
    ['p'],
  )
  expect(sessions.rows).toEqual([{ context: { sums: [7] }, output: null, status: 'done' }])
})

it('a context of none is none; what is said nothing of is whole', async () => {
  const { rows } = await place.pool.query(ROWS, ['l'])
  expect(rows).toMatchObject([
    { input: { card: SECRET }, context: null, redacted: ['context'] },
    { event: { output: { charged: SECRET } }, context: null, redacted: ['context'] },
    { event: { type: 'PAY', card: `${SECRET}-l`, sum: 7 }, context: null, redacted: ['context'] },
    { event: { type: 'NOTE', text: 'seen' }, context: null, redacted: ['context'] },
  ])
})

it('functions that fail stop no session, and let nothing through', async () => {
  const { rows } = await place.pool.query(ROWS, ['b'])
  expect(rows.map(({ event, input, context }: Record<string, unknown>) => [event, input, context])).toEqual([
    [null, null, null],
    [{ type: 'xstate.done.actor.0.payment.open' }, null, null],
    [{ type: 'PAY' }, null, { sums: [7] }],
    [{ type: 'NOTE' }, null, { sums: [7] }],
    [{ type: 'CLOSE' }, null, { sums: [7] }],
  ])
})

const audit = (name: string, ...args: string[]): Promise<Said> =>
  saidBy([name, `--database-url=${place.databaseUrl}`, ...args])

it('the timeline says so, and so does an export', async () => {
  const { out } = await audit('show', 'p')
  expect(out).toMatch(/1 .* created .* redacted: input, context\n/)
  expect((await audit('show', 'p', '--at', '6')).out).toMatch(/redacted context, output\n/)
  const shown = (await audit('show', 'p', '--json')).out.split('\n')
  expect(JSON.parse(shown[0] ?? '')).toMatchObject({ redacted: ['input', 'context'] })
  const lines = (await audit('export', '--format', 'jsonl', '--session', 'p')).out.trim().split('\n')
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ redacted: ['input', 'context'] })
})

it('verify finds the chain as whole as any', async () => {
  expect(
    await audit('verify', `--redis-url=${place.redisUrl}`, `--key-prefix=${place.prefix}`),
  ).toMatchObject({ code: 0 })
})

it('a replay does not take what was kept out for equal: without events nothing follows, without the context the rest is compared', async () => {
  const definitions = [payment, ledger, broken]
  const [p] = await replayed(place, { ids: ['p'] }, { definitions })
  expect(p).toMatchObject({ rows: 6, equal: 0, divergence: null })
  expect(p?.notComparable.get('redacted')).toMatchObject({ count: 3, version: 1, detail: 'input' })
  expect(p?.notComparable.get('after')).toMatchObject({ count: 3 })

  const [l] = await replayed(place, { ids: ['l'] }, { definitions })
  expect(l).toMatchObject({ rows: 4, equal: 0, divergence: null })
  expect([...(l?.notComparable ?? [])]).toMatchObject([['redacted', { count: 4, detail: 'context' }]])
  expect(await replayed(place, { ids: ['l'] }, { definitions, statesOnly: true })).toMatchObject([
    { rows: 4, equal: 4 },
  ])

  await place.pool.query(
    `update troupe_transitions set to_value = '"open"' where session_id = 'l' and kind = 'result'`,
  )
  expect(await replayed(place, { ids: ['l'] }, { definitions })).toMatchObject([
    { divergence: { version: 2, path: 'value', stored: 'open', replayed: 'charged' } },
  ])
})
