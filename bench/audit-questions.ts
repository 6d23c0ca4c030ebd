/**
 * How long do the commands of `audit` take on a large table? Fills a database of its own with rows as the pipeline writes
 * them, runs each command as users do, and asks for lists of sessions. Options: `--rows` (1,000,000), `--database-url` (of a server
 * where databases may be made).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { parseArgs } from 'node:util'
import { Client } from 'pg'
import { openDatabase } from '../persistence/audit/database.ts'
import { dayOf, ensureDays, DAY_MS } from '../persistence/audit/days.ts'
import { migrate } from '../persistence/audit/migrations.ts'
import { measureLists } from './audit/lists.ts'
import { watchPeakMemory } from './support/peak-memory.ts'
import { describeMachine, writeResults } from './support/results.ts'
import { withServers } from './support/servers.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    'database-url': { type: 'string' },
  },
})
const ROWS = Number(values.rows)
const STEPS = 10
const MACHINES = './bench/audit/order-sessions.ts'
const DAYS = 3

/** Sessions of ten transitions each, as the machine of `audit/order-sessions.ts` makes them, spread over three days; one of ten is left at the payment, one of twenty in the cart. */
const FILL = `
  insert into troupe_transitions
    (day, session_id, epoch, version, commit_id, previous_commit_id, kind, machine, machine_version, event, event_type,
     input, from_value, to_value, context, status, tags, principal, node, command_key, committed_at)
  select (at at time zone 'UTC')::date, id, 1700000000000000 + session, step, 'n-' || session || '-' || step,
         case when step > 1 then 'n-' || session || '-' || (step - 1) end,
         case when step = 1 then 'created' when step = 10 then 'expired' else 'event' end, 'order', 1,
         case when step between 2 and 9 then jsonb_build_object('type', events[step], 'item', session % 977) end,
         case when step between 2 and 9 then events[step] end,
         case when step = 1 then jsonb_build_object('customer', session) end,
         case when step > 1 then to_jsonb(states[step - 1]) end,
         case when step < 10 then to_jsonb(states[step]) end,
         case when step < 10 then jsonb_build_object('items', step, 'sum', session % 100, 'note', repeat('n', 80)) end,
         case when step < 9 then 'active' when step = 9 then 'done' end, '[]', 'user-' || session % 5000, 'n',
         case when step between 2 and 9 then 'k-' || session || '-' || step end, at
    from (select session, step, 'session-' || lpad(to_hex(hashint8(session)::bigint & 4294967295), 8, '0') || '-' || session as id,
                 $4::timestamptz + session * $3::double precision * interval '1 ms' + step * step * interval '7 s' as at
            from generate_series($1::bigint, $2::bigint) as session cross join generate_series(1, ${STEPS}) as step
           where not (session % 10 = 0 and step > 6) and not (session % 20 = 1 and step > 3)) as row
   cross join (select array['', 'ADD', 'ADD', 'ADD', 'CHECKOUT', 'CORRECT', 'PAY', 'PACK', 'SEND', ''] as events,
                      array['cart', 'cart', 'cart', 'cart', 'payment', 'payment', 'paid', 'packed', 'sent', ''] as states) as plan`

const HEADS = `
  insert into troupe_sessions (session_id, machine, machine_version, epoch, version, commit_id, status, value, context, tags, created_at, updated_at, ended_at, marks)
  select distinct on (session_id) session_id, machine, machine_version, epoch, version, commit_id, coalesce(status, kind),
         coalesce(to_value, from_value), context, tags, committed_at, committed_at, case when status is null then committed_at end,
         array['state:' || (coalesce(to_value, from_value) #>> '{}')]
    from troupe_transitions order by session_id, epoch desc, version desc`

interface Measured {
  readonly command: string
  readonly seconds: number
  readonly code: number | null
  /** Most memory that the command held, in MB. */
  readonly peakMb: number
}

async function fill(databaseUrl: string): Promise<number> {
  const pool = openDatabase({ databaseUrl, max: 1, statementMs: 3_600_000 })
  await migrate(pool)
  const begin = Date.parse(dayOf(Date.now() - DAYS * DAY_MS))
  await ensureDays(
    pool,
    Array.from({ length: DAYS + 1 }, (_, day) => dayOf(begin + day * DAY_MS)),
  )
  const sessions = Math.ceil(ROWS / STEPS / 0.925)
  const stepMs = ((DAYS - 0.1) * DAY_MS) / sessions
  for (let from = 1; from <= sessions; from += 20_000)
    await pool.query(FILL, [from, Math.min(sessions, from + 19_999), stepMs, new Date(begin)])
  await pool.query(HEADS)
  await pool.query('analyze')
  const { rows } = await pool.query<{ count: string }>('select count(*) from troupe_transitions')
  await pool.end()
  return Number(rows[0]?.count ?? 0)
}

async function measure(databaseUrl: string, args: readonly string[]): Promise<Measured> {
  const startedAt = performance.now()
  const child = spawn(process.execPath, ['dist/runtime/cli/audit.js', ...args], {
    env: { PATH: process.env['PATH'], DATABASE_URL: databaseUrl },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  child.stdout.pipe(createWriteStream('/dev/null'))
  const peakMb = watchPeakMemory(child)
  const [code] = (await once(child, 'close')) as [number | null]
  const seconds = Number(((performance.now() - startedAt) / 1000).toFixed(2))
  return { command: args.join(' '), seconds, code, peakMb: peakMb() }
}

async function run(adminUrl: string): Promise<void> {
  const admin = new Client({ connectionString: adminUrl })
  await admin.connect()
  const name = `audit_bench_${process.pid}`
  await admin.query(`create database ${name}`)
  try {
    const url = new URL(adminUrl)
    url.pathname = `/${name}`
    console.log(`filling a database with about ${ROWS.toLocaleString('en')} rows`)
    const rows = await fill(url.href)
    const client = new Client({ connectionString: url.href })
    await client.connect()
    const found = await client.query<{ session_id: string }>('select session_id from troupe_sessions limit 1')
    console.log('lists of sessions, the first 50:')
    const lists = await measureLists(client)
    await client.end()
    const id = found.rows[0]?.session_id ?? ''
    const commands = [
      ['verify'],
      ['verify', '--since=1d'],
      ['verify', `--session=${id}`],
      ['show', id],
      ['stats', 'activity'],
      ['stats', 'activity', '--since=1d'],
      ['stats', 'active', '--per=hour'],
      ['stats', 'times'],
      ['stats', 'ends'],
      ['stats', 'stuck'],
      ['stats', 'failures'],
      ['stats', 'funnel', '--machine=order', '--states=cart,payment,paid,sent'],
      ['export', '--format=jsonl'],
      ['export', '--format=csv'],
      ['rejects'],
      ['replay', id, MACHINES],
      ['replay', '--machine=order', '--limit=10000', MACHINES],
      ['forget', id, '--yes'],
    ]
    const measured: Measured[] = []
    for (const command of commands) {
      const result = await measure(url.href, command)
      measured.push(result)
      console.log(
        `${result.seconds.toFixed(2).padStart(8)} s  ${String(result.peakMb).padStart(4)} MB  exit ${result.code}  audit ${result.command}`,
      )
    }
    console.log(`${rows.toLocaleString('en')} rows; ${JSON.stringify(describeMachine())}`)
    console.log(await writeResults('audit-questions', { rows, lists, measured }))
  } finally {
    await admin.query(`drop database ${name} with (force)`)
    await admin.end()
  }
}

// No Redis is needed, so none is started.
await withServers(
  { redisUrl: 'redis://127.0.0.1:1', databaseUrl: values['database-url'] },
  async ({ databaseUrl }) => run(databaseUrl ?? ''),
)
