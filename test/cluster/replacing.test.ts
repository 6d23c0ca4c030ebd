/** What can come between while the workers are replaced. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'
import { ResendingClient } from './resending-client.ts'

const PATIENCE = { timeout: 40_000, interval: 50 }

let folder: string
let file: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'troupe-replacing-'))
  file = join(folder, 'probe.ts')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A definition file whose loading takes so long, and which then does this. */
function define(name: string, { takesMs = 0, then = '' } = {}): void {
  writeFileSync(
    file,
    `import { createMachine } from 'xstate'
     import { defineSession } from 'troupe'
     await new Promise((resolve) => setTimeout(resolve, ${takesMs}))
     ${then}
     export default defineSession({ name: '${name}', version: 1, machine: createMachine({}) })`,
  )
}

function start(): Promise<Cluster> {
  return Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() }, { LOG_LEVEL: 'info' }, [file])
}

async function end(cluster: Cluster): Promise<void> {
  await cluster.stop('SIGKILL')
  await cluster.dropDatabase()
}

const count = (cluster: Cluster, words: string): number => cluster.log().split(words).length - 1

it('LC2 a new worker that cannot start, be it the second one, leaves the old ones with their clients, and the log says why', async () => {
  define('probe')
  const cluster = await start()
  const clients = Array.from({ length: 6 }, () => new ResendingClient(cluster.url))
  try {
    await Promise.all(clients.map((client) => client.request('getSession', { id: 'a' })))
    const before = cluster.pids('worker.js').sort()
    const once = join(folder, 'once')
    define('probe', {
      // The first one to load it works.
      then: `import { existsSync, writeFileSync } from 'node:fs'
             if (existsSync('${once}')) throw new Error('the disk is full')
             writeFileSync('${once}', '')`,
    })
    cluster.signal('SIGHUP')
    await expect.poll(() => cluster.log(), PATIENCE).toContain('a worker could not be replaced')
    expect(cluster.log()).toMatch(/"reason":"worker-2: .*the disk is full/)
    expect(cluster.pids('worker.js').sort()).toEqual(before)
    for (const client of clients) expect((await client.request('getSession', { id: 'a' })).result).toBeNull()
    expect(clients.flatMap(({ heard }) => heard)).toEqual([])
    // And they go on taking new ones.
    const late = new ResendingClient(cluster.url)
    expect((await late.request('getSession', { id: 'a' })).result).toBeNull()
    late.close()
    define('probe')
    cluster.signal('SIGHUP')
    await expect.poll(() => cluster.log(), PATIENCE).toContain('the workers have been replaced')
    expect(cluster.pids('worker.js').filter((pid) => before.includes(pid))).toEqual([])
  } finally {
    for (const client of clients) client.close()
    await end(cluster)
  }
})

it('LC2 a second SIGHUP while the workers are replaced is not lost: what was changed meanwhile is served in the end', async () => {
  define('first')
  const cluster = await start()
  try {
    define('second', { takesMs: 1000 })
    cluster.signal('SIGHUP')
    await expect.poll(() => cluster.pids('worker.js').length, PATIENCE).toBe(3)
    await sleep(700)
    define('third')
    // Two more: they need one replacement.
    cluster.signal('SIGHUP')
    await sleep(50)
    cluster.signal('SIGHUP')
    await expect.poll(() => count(cluster, 'the workers have been replaced'), PATIENCE).toBe(3)
    expect(count(cluster, 'an old worker leaves')).toBe(4)
    for (let asked = 0; asked < 4; asked++) expect(await machines(cluster)).toContain('third')
  } finally {
    await end(cluster)
  }
})

it.each([
  ['starts', 'the workers are replaced by new ones'],
  ['old ones leave', 'an old worker leaves'],
])('LC2 SIGTERM while the workers are replaced (%s) ends them all, old and new', async (_when, said) => {
  define('probe')
  const cluster = await start()
  const clients = Array.from({ length: 6 }, () => new ResendingClient(cluster.url))
  try {
    await Promise.all(clients.map((client) => client.request('getSession', { id: 'a' })))
    define('probe', { takesMs: 300 })
    cluster.signal('SIGHUP')
    await expect.poll(() => cluster.log(), PATIENCE).toContain(said)
    await sleep(100)
    expect(await cluster.stop('SIGTERM')).toBe(0)
    expect(cluster.pids('worker.js')).toEqual([])
    expect(cluster.log()).not.toMatch(/could not be replaced|have been replaced|killed/)
  } finally {
    for (const client of clients) client.close()
    await end(cluster)
  }
})

it('LC2 a client that waits is told to wait elsewhere, moves once, and waits to the end', async () => {
  define('probe')
  const cluster = await start()
  const client = new ResendingClient(cluster.url)
  try {
    await client.request('createSession', { machine: 'document', id: 'a' })
    const until = { done: true }
    const waiting = client.request('waitFor', { id: 'a', until, timeoutMs: 60_000 })
    let isOver = false
    void waiting.then(() => (isOver = true))
    cluster.signal('SIGHUP')
    await expect.poll(() => cluster.log(), PATIENCE).toContain('the workers have been replaced')
    // It was told `draining`, and waits again.
    expect(isOver).toBe(false)
    expect(client.reconnects).toBe(1)
    // It sends again what was refused after a while: to a worker that knows of the deletion already, or is told.
    await sleep(500)
    await client.request('deleteSession', { id: 'a' })
    expect((await waiting).error?.data.code).toMatch(/^(session_ended|not_found)$/)
  } finally {
    client.close()
    await end(cluster)
  }
})

async function machines(cluster: Cluster): Promise<string[]> {
  const { machines } = (await cluster.health()) as unknown as { machines: string[] }
  return machines
}
