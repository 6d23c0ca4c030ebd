/** Workflows as people build them, each in several instances at a time, while the processes that run them are killed. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'
import { duration } from './duration.ts'
import { patterns } from './pattern-scripts.ts'
import type { Pattern, Step } from './pattern-scripts.ts'
import { ResendingClient } from './resending-client.ts'

const DEFINITIONS = join(import.meta.dirname, 'patterns')
const CLIENTS = 8
/** At full length a worker has time to prove itself: else the pauses before it is started again grow, and there is nobody left to kill. */
const KILL_EVERY_MS = duration(1000, 1500)
const INSTANCES = duration(6, 24)
/** Sessions begin throughout this time; workers are killed throughout it, and a little longer. */
const SPREAD_MS = duration(10_000, 30_000)
const END_MS = 60_000

interface Instance {
  readonly id: string
  readonly pattern: Pattern
  readonly n: number
  /** Events that were acknowledged as committed. */
  readonly committed: Extract<Step, { send: unknown }>['send'][]
  /** How it went; empty: as the script says. */
  readonly surprises: string[]
  view: Record<string, unknown> | null
}

interface Row {
  readonly session_id: string
  readonly version: string
  readonly kind: string
  readonly event_type: string | null
  readonly node: string | null
  readonly command_key: string | null
}

const instances: Instance[] = Array.from({ length: INSTANCES }, (_, n) =>
  patterns.map((pattern) => ({
    id: `${pattern.machine}-${n}`,
    pattern,
    n,
    committed: [],
    surprises: [],
    view: null,
  })),
).flat()

/** Does what the script says, and waits for the end. */
async function play(client: ResendingClient, instance: Instance, folder: string): Promise<void> {
  const { id, pattern, n, committed, surprises } = instance
  const input = pattern.input?.(n, { id, folder })
  const created = await client.request('createSession', { machine: pattern.machine, id, key: id, input })
  if (created.error !== undefined) surprises.push(`not created: ${created.error.message}`)
  const waitFor = async (until: object): Promise<void> => {
    const reply = await client.request('waitFor', { id, until, timeoutMs: END_MS })
    if (reply.error !== undefined) surprises.push(`${JSON.stringify(until)}: ${reply.error.message}`)
    else instance.view = reply.result ?? null
  }
  for (const [index, step] of (pattern.steps?.(n) ?? []).entries()) {
    if ('restMs' in step) await sleep(step.restMs)
    else if ('until' in step) await waitFor({ value: step.until })
    else {
      const key = `${id}-${index}`
      const { result, error } = await client.request('updateSession', { id, event: step.send, key })
      const isCommitted = result?.['applied'] !== undefined
      if (isCommitted) committed.push(step.send)
      const isTold = error === undefined || (step.as === 'maybe' && error.data.code === 'session_ended')
      if (!isTold || (step.as !== 'maybe' && isCommitted !== (step.as === 'committed')))
        surprises.push(`${key} ${step.send.type}: ${JSON.stringify(error ?? result?.['outcome'])}`)
    }
  }
  await waitFor({ done: true })
}

/** What promise actors of the session left in the folder. */
function effectsOf(id: string, folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith(`${id}.`))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
}

describe('workflows run to their end while workers are killed with -9, one each second', () => {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-patterns-'))
  const clients: ResendingClient[] = []
  let cluster: Cluster
  let rows: Row[] = []
  let kills = 0

  beforeAll(async () => {
    cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() }, {}, [DEFINITIONS])
    for (let count = 0; count < CLIENTS; count++) clients.push(new ResendingClient(cluster.url))
    const beganAt = Date.now()
    const all = Promise.all(
      instances.map(async (instance, index) => {
        await sleep((SPREAD_MS * index) / instances.length)
        await play(clients[index % CLIENTS] as ResendingClient, instance, folder)
      }),
    )
    while (Date.now() < beganAt + SPREAD_MS + 3 * KILL_EVERY_MS) {
      await sleep(KILL_EVERY_MS)
      if (await cluster.killServing()) kills++
    }
    await all
    await cluster.whenAuditCaughtUp(40_000)
    rows = await cluster.rows<Row>(
      `select session_id, version, kind, event_type, node, command_key from troupe_transitions
         order by session_id, epoch, version`,
    )
    const seconds = Math.round((Date.now() - beganAt) / 1000)
    console.log(
      `${patterns.length} patterns, ${instances.length} instances, ${kills} kills, ${rows.length} transitions, ` +
        `${movedFrom(rows).size} instances went on in another process, ` +
        `${rows.filter(({ kind }) => kind === 'takeover').length} takeovers, ${seconds} s`,
    )
  }, 120_000)

  afterAll(async () => {
    for (const client of clients) client.close()
    await cluster.stop()
    await cluster.dropDatabase()
    rmSync(folder, { recursive: true, force: true })
  })

  it.each(patterns)(
    'LC1 TM2 CM5 $machine: all instances come to the end that their script says',
    (pattern) => {
      const own = instances.filter((instance) => instance.pattern === pattern)
      expect(own).toHaveLength(INSTANCES)
      for (const { id, n, committed, surprises, view } of own) {
        const effects = effectsOf(id, folder)
        expect(surprises, id).toEqual([])
        expect(view, id).toMatchObject({ status: 'done' })
        expect(view?.['output'], id).toEqual(pattern.output(n, { committed, effects }))
        if (pattern.value) expect(view?.['value'], id).toEqual(pattern.value(n))
        expect(
          pattern.effects?.(n, effects) ?? effects.length === 0,
          `effects of ${id}: ${effects.join()}`,
        ).toBe(true)
      }
    },
  )

  it('LC1 TM2 TM5 CM2 AU1 each timer, result and event is one transition, the same for instances that do the same', () => {
    for (const { id, pattern, n, committed } of instances) {
      const own = rowsOf(id)
      expect(
        own.map(({ version }) => Number(version)),
        id,
      ).toEqual(own.map((_, index) => index + 1))
      const keys = own.flatMap(({ command_key: key }) => key ?? [])
      expect(new Set(keys).size, `different keys of ${id}`).toBe(keys.length)
      // The creation has one too.
      expect(keys, `keys of ${id}`).toHaveLength(committed.length + 1)
      if (!pattern.varies)
        expect(storyOf(id), id).toEqual(storyOf(`${pattern.machine}-${n % (pattern.variants ?? 1)}`))
    }
  })

  it('workers were killed, and kills hit sessions of most patterns', () => {
    expect(kills).toBeGreaterThan(SPREAD_MS / KILL_EVERY_MS / 2)
    const moved = movedFrom(rows)
    const hit = patterns.filter(({ machine }) =>
      instances.some(({ id, pattern }) => pattern.machine === machine && moved.has(id)),
    )
    expect(hit.length).toBeGreaterThan(patterns.length * 0.7)
    expect(rows.filter(({ kind }) => kind === 'takeover').length).toBeGreaterThan(0)
    expect(clients.reduce((sum, { reconnects }) => sum + reconnects, 0)).toBeGreaterThan(0)
  })

  const rowsOf = (id: string): Row[] => rows.filter((row) => row.session_id === id)

  /** What happened, in whatever order. */
  const storyOf = (id: string): string[] =>
    rowsOf(id)
      .filter(({ kind }) => kind !== 'takeover')
      .map(({ kind, event_type: type }) => `${kind} ${type ?? ''}`)
      .sort()
})

/** Sessions whose transitions more than one process committed. */
function movedFrom(rows: readonly Row[]): Set<string> {
  const nodes = new Map<string, string | null>()
  const moved = new Set<string>()
  for (const { session_id: id, node } of rows) {
    if (nodes.has(id) && nodes.get(id) !== node) moved.add(id)
    nodes.set(id, node)
  }
  return moved
}
