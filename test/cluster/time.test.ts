import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'
import { duration } from './duration.ts'
import { ResendingClient } from './resending-client.ts'

const KILL_EVERY_MS = 1000
/** Leases, sweeps and a start; at full length workers die so often that the pause before they are started again is 5 s. */
const HOLD_MS = duration(10_000, 15_000)

/** Rings once after its time, as a child of its session; then runs a promise of its own time, which may be run again. */
const DEFINITIONS = `
import { fromPromise, setup } from 'xstate'
import { defineSession } from 'troupe'

const clock = setup({ delays: { set: ({ context }) => context.ms } }).createMachine({
  context: ({ input }) => input,
  initial: 'set',
  states: { set: { after: { set: 'rung' } }, rung: { type: 'final' } },
})
const work = setup({
  actors: { clock, run: fromPromise(({ input }) => new Promise((resolve) => setTimeout(resolve, input.ms, 'ran'))) },
}).createMachine({
  context: ({ input }) => input,
  initial: 'waiting',
  states: {
    waiting: { invoke: { src: 'clock', id: 'clock', input: ({ context }) => context, onDone: 'running' } },
    running: { invoke: { src: 'run', id: 'run', input: ({ context }) => ({ ms: context.runMs }), onDone: 'ready' } },
    ready: { type: 'final' },
  },
})
export default defineSession({ name: 'work', version: 1, machine: work, ttlMs: null })
`

interface Row {
  readonly session_id: string
  readonly kind: string
  readonly event_type: string | null
  readonly at: string
}

it('LC1 TM1 TM2 TM4 TM5 workers killed with -9 while timers of children and promises are due: each fires, runs and ends once', async () => {
  const count = duration(200, 2000)
  const spreadMs = duration(6_000, 30_000)
  const folder = mkdtempSync(join(tmpdir(), 'troupe-time-'))
  const file = join(folder, 'work.ts')
  writeFileSync(file, DEFINITIONS)
  const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() }, {}, [file])
  const client = new ResendingClient(cluster.url)
  try {
    const ms = (n: number): number => 2000 + Math.floor((n * spreadMs) / count)
    await Promise.all(
      Array.from({ length: count }, async (_, n) => {
        const input = { ms: ms(n), runMs: 200 + (n % 10) * 100 }
        const reply = await client.request('createSession', {
          machine: 'work',
          id: `w${n}`,
          key: `w${n}`,
          input,
        })
        expect(reply.error).toBeUndefined()
      }),
    )
    let kills = 0
    let lastKillAt = 0
    for (const until = Date.now() + spreadMs; Date.now() < until;) {
      await sleep(KILL_EVERY_MS)
      if (cluster.killOne('worker.js')) {
        kills++
        lastKillAt = Date.now()
      }
    }
    // What a dead worker had promised is found when its leases end.
    const views = await Promise.all(
      Array.from({ length: count }, async (_, n) => {
        for (const until = Date.now() + 60_000; Date.now() < until; await sleep(500)) {
          const { result } = await client.request('getSession', { id: `w${n}` })
          if (result?.['status'] === 'done') return result
        }
        return null
      }),
    )
    expect(views.filter((view) => view === null)).toHaveLength(0)
    await cluster.whenAuditCaughtUp(40_000)
    const rows = await cluster.rows<Row>(
      `select session_id, kind, event_type, (extract(epoch from committed_at) * 1000)::bigint as at
         from troupe_transitions order by session_id, version`,
    )
    const lateness: number[] = []
    let takeovers = 0
    for (let n = 0; n < count; n++) {
      const own = rows.filter((row) => row.session_id === `w${n}`)
      takeovers += own.filter(({ kind }) => kind === 'takeover').length
      expect(own.filter(({ kind }) => kind !== 'takeover').map(({ kind }) => kind)).toEqual([
        'created',
        'timer',
        'result',
      ])
      const at = (kind: string): number => Number(own.find((row) => row.kind === kind)?.at)
      lateness.push(at('timer') - at('created') - ms(n))
      // However often workers die, once nobody does a timer waits no longer than that.
      const hold = at('timer') - Math.max(at('created') + ms(n), lastKillAt)
      expect(hold, `ms that w${n} waited with nobody dying`).toBeLessThan(HOLD_MS)
    }
    lateness.sort((a, b) => a - b)
    const share = (of: number): number =>
      lateness[Math.min(lateness.length - 1, Math.floor(of * lateness.length))] ?? 0
    expect(lateness[0], 'early').toBeGreaterThanOrEqual(0)
    console.log(
      `${count} timers and promises, ${kills} kills, ${takeovers} takeovers; timers late by ` +
        `${share(0.5)} ms (p50), ${share(0.9)} ms (p90), ${share(0.99)} ms (p99), ${share(1)} ms (max)`,
    )
  } finally {
    client.close()
    await cluster.stop()
    await cluster.dropDatabase()
    rmSync(folder, { recursive: true, force: true })
  }
})
