/** New versions of a definition come to a cluster that runs. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'
import { ResendingClient } from './resending-client.ts'

const MIGRATE = join(import.meta.dirname, '..', '..', 'dist/runtime/cli/migrate.js')
const SESSIONS = 40

const FIRST = `
export const first = defineSession({
  name: 'tally',
  version: 1,
  machine: createMachine({
    id: 'tally',
    context: { cents: 0 },
    on: { ADD: { actions: assign({ cents: ({ context }) => context.cents + 100 }) } },
  }),
})
`
const SECOND = `
export const second = defineSession({
  name: 'tally',
  version: 2,
  machine: createMachine({
    id: 'tally',
    context: { euros: 0 },
    initial: 'open',
    states: { open: { on: { ADD: { actions: assign({ euros: ({ context }) => context.euros + 1 }) } } } },
  }),
  migrate: ({ context }) => {
    if (BAD.includes(context.cents)) throw new Error('an odd sum')
    return { value: 'open', context: { euros: context.cents / 100 } }
  },
})
`

let folder: string
let file: string
let cluster: Cluster
let client: ResendingClient
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'troupe-migrate-'))
  file = join(folder, 'tally.ts')
  define(FIRST)
  cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() }, {}, [file])
  client = new ResendingClient(cluster.url)
})
afterAll(async () => {
  client.close()
  await cluster.stop()
  await cluster.dropDatabase()
  rmSync(folder, { recursive: true, force: true })
})

function define(...definitions: string[]): void {
  writeFileSync(
    file,
    `import { assign, createMachine } from 'xstate'\nimport { defineSession } from 'troupe'\n${definitions.join('')}`,
  )
}

/** Runs the command as a user would. */
async function migrate(args: string[]): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, [MIGRATE, ...args], {
    cwd: folder,
    env: { PATH: process.env['PATH'], REDIS_URL: redisUrl(), KEY_PREFIX: cluster.prefix },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const [code] = (await once(child, 'exit')) as [number | null]
  return { code, said }
}

it('MG2 MG3 sessions that are written to all the time move to a new version, worker by worker, and none loses an event', async () => {
  const ids = Array.from({ length: SESSIONS }, (_, n) => `tally-${n}`)
  for (const id of ids) await client.request('createSession', { machine: 'tally', id })
  for (const id of ids.slice(0, 2)) await client.request('updateSession', { id, event: { type: 'ADD' } })

  // What would become of them is looked at first.
  define(FIRST, 'const BAD = [100]\n', SECOND)
  const bad = await migrate(['--check', file])
  expect(bad.code).toBe(1)
  expect(bad.said).toContain(
    `tally version 1: ${SESSIONS} active sessions, 0 ended; ${SESSIONS - 2} would be migrated to version 2, 2 could not be`,
  )
  expect(bad.said).toMatch(
    /tally-1: machine "tally" \(version 2\) failed while migrating a session of version 1 in state \{\}: an odd sum/,
  )
  define(SECOND.replace('version: 2', 'version: 3').replace(/  migrate:[^]*?\n  \},\n/, ''))
  expect((await migrate(['--check', file])).said).toContain(
    'none of the definitions serves this version, or can migrate it',
  )
  define(FIRST, 'const BAD = []\n', SECOND)
  const good = await migrate(['--check', file])
  expect(good).toEqual({
    code: 0,
    said: `tally version 1: ${SESSIONS} active sessions, 0 ended; all would be migrated to version 2\nAll could go on.\n`,
  })

  // Writers go on while the workers are replaced.
  let isOver = false
  let errors = 0
  const sums = new Map(ids.map((id, n) => [id, n < 2 ? 1 : 0]))
  const writers = ids.map(async (id) => {
    while (!isOver) {
      const reply = await client.request('updateSession', {
        id,
        event: { type: 'ADD' },
        key: `${id} ${sums.get(id)}`,
      })
      if (reply.error === undefined) sums.set(id, (sums.get(id) ?? 0) + 1)
      else errors++
      await sleep(20)
    }
  })
  await sleep(500)
  cluster.signal('SIGHUP')
  const deadline = Date.now() + 45_000
  const versions = () =>
    cluster.rows<{ machine_version: number; sessions: number }>(
      `select machine_version, count(*)::int as sessions from troupe_sessions where machine = 'tally' group by 1 order by 1`,
    )
  for (;;) {
    const found = await versions()
    if (found.length === 1 && found[0]?.machine_version === 2) break
    if (Date.now() > deadline)
      throw new Error(`not all were migrated: ${JSON.stringify(found)} ${cluster.log()}`)
    await sleep(250)
  }
  isOver = true
  await Promise.all(writers)
  expect(errors).toBe(0)
  for (const id of ids) {
    const { result } = await client.request('getSession', { id })
    expect(result?.['context']).toEqual({ euros: sums.get(id) })
  }
  await cluster.whenAuditCaughtUp(20_000)
  const rows = await cluster.rows<{ session_id: string; migrated: number; versions: number; newest: number }>(
    `select session_id, (count(*) filter (where kind = 'migrated'))::int as migrated, count(*)::int as versions, max(version)::int as newest
     from troupe_transitions group by 1 order by 1`,
  )
  expect(rows.map(({ migrated }) => migrated)).toEqual(ids.map(() => 1))
  expect(rows.every(({ versions: count, newest }) => count === newest)).toBe(true)
})

it('says how it is used', async () => {
  expect(await migrate([file])).toMatchObject({
    code: 2,
    said: expect.stringContaining('say --check') as string,
  })
  expect(await migrate(['--check'])).toMatchObject({
    code: 2,
    said: expect.stringContaining('name the definition files') as string,
  })
  expect((await migrate(['--help'])).said).toContain('Usage: npm run migrate')
  expect((await migrate(['--check', join(folder, 'none.ts')])).said).toContain('there is no such file')
  expect((await migrate(['--check', file, '--key-prefix=nobody-has-it'])).said).toContain(
    'There are no sessions',
  )
})
