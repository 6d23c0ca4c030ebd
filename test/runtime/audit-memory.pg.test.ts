/** How much the commands that read all hold at once. Each runs in a process of its own, of which the memory is looked at. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { migrate } from '../../persistence/audit/migrations.ts'
import { AuditPlace } from '../persistence/audit-support.ts'
import { watchPeakMemory } from '../../bench/support/peak-memory.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'

const AUDIT = join(import.meta.dirname, '..', '..', 'dist/runtime/cli/audit.js')
/** Small rows first, so that a fetch of many is expected to bring little: then large ones, 100 MB in all. */
const SMALL = 6_000
const LARGE = 400
const LARGE_BYTES = 250_000

let place: AuditPlace
beforeAll(async () => {
  place = await AuditPlace.create(redisUrl(), databaseUrl())
  await migrate(place.pool)
  await fill('a-small', SMALL, 10)
  await fill('b-large', LARGE, LARGE_BYTES)
})
afterAll(() => place.destroy())

async function fill(id: string, rows: number, bytes: number): Promise<void> {
  await place.pool.query(
    `insert into troupe_transitions (day, session_id, epoch, version, commit_id, kind, machine, machine_version, context, status, to_value, committed_at)
     select date '2026-01-31', $1, 1, v, 'c-' || v, 'event', 'm', 1, jsonb_build_object('log', repeat('x', $3)), 'active', '"a"', timestamptz '2026-01-31T12:00:00Z'
       from generate_series(1, $2::integer) v`,
    [id, rows, bytes],
  )
}

/** The most that the process held, and what it wrote. */
async function run(args: readonly string[]): Promise<{ peakMb: number; bytes: number; said: string }> {
  const child = spawn(
    process.execPath,
    // 64 MB of heap: what holds more than that ends the process.
    ['--max-old-space-size=64', AUDIT, ...args, '--database-url', place.databaseUrl],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let [bytes, said] = [0, '']
  child.stdout.on('data', (part: Buffer) => void (bytes += part.length))
  child.stderr.on('data', (part: Buffer) => void (said += part.toString()))
  const peakMb = watchPeakMemory(child)
  const [code] = (await once(child, 'close')) as [number | null]
  expect({ code, said }).toMatchObject({ code: 0 })
  return { peakMb: peakMb(), bytes, said }
}

it.each(['jsonl', 'csv'])(
  'export holds a few rows at once, whatever their size: %s',
  { timeout: 60_000 },
  async (format) => {
    const { peakMb, bytes, said } = await run(['export', '--format', format])
    expect(said).toContain(`${(SMALL + LARGE).toLocaleString('en')} rows exported`)
    expect(bytes).toBeGreaterThan(LARGE * LARGE_BYTES)
    expect(peakMb).toBeLessThan(220)
  },
)
