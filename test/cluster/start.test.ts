import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'
import { ResendingClient } from './resending-client.ts'

const MAIN = join(import.meta.dirname, '..', '..', 'dist/runtime/cli/main.js')
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'troupe-start-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Starts it, expecting that it ends by itself. */
async function refused(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number | null; lines: string[] }> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: folder,
    env: {
      PATH: process.env['PATH'],
      PORT: '0',
      LOG_LEVEL: 'error',
      REDIS_URL: redisUrl(),
      DATABASE_URL: databaseUrl(),
      ...env,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  const [code] = (await once(child, 'exit')) as [number | null]
  return { code, lines: complaint.trim().split('\n') }
}

function definitionFile(name: string, text: string): string {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

describe('a start that cannot work ends with one clear line and a code that is not 0', () => {
  const expectRefusal = async (
    parts: RegExp,
    args: string[],
    env: Record<string, string> = {},
  ): Promise<void> => {
    const { code, lines } = await refused(args, env)
    expect(lines.join('\n')).toMatch(parts)
    expect(lines).toHaveLength(1)
    expect(code).toBeGreaterThan(0)
  }

  it('port in use', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    await expectRefusal(new RegExp(`port ${port} .* is in use.*PORT`), [], { PORT: String(port) })
    server.close()
  })

  it('an address that is not this machine only', async () => {
    await expectRefusal(/0\.0\.0\.0 .*authentication/, [], { HOST: '0.0.0.0' })
  })

  it('an option that does not exist, or has no such value', async () => {
    await expectRefusal(/--prot.*--port/, ['--prot=1'])
    await expectRefusal(/WORKERS.*"many"/, [], { WORKERS: 'many' })
  })

  it('a Redis or PostgreSQL that cannot be reached, or refuses', async () => {
    await expectRefusal(/Redis at 127\.0\.0\.1:1 .*the Redis URL/, [], { REDIS_URL: 'redis://127.0.0.1:1' })
    await expectRefusal(/PostgreSQL at 127\.0\.0\.1:1.*DATABASE_URL/, [], {
      DATABASE_URL: 'postgres://a:b@127.0.0.1:1/x',
    })
    const wrong = new URL(databaseUrl())
    wrong.password = 'wrong'
    await expectRefusal(/password/i, [], { DATABASE_URL: wrong.href })
  })

  it('another layout under the same prefix', async () => {
    const redis = new Redis(redisUrl())
    await redis.set('other-layout:layout', '{"recordFormat":999}')
    await expectRefusal(/other-layout:layout.*KEY_PREFIX/, [], { KEY_PREFIX: 'other-layout' })
    await redis.del('other-layout:layout')
    redis.disconnect()
  })

  it('definitions that cannot work: file, name and reason', async () => {
    const wrong: readonly (readonly [reason: RegExp, file: string])[] = [
      [/nothing\.ts: there is no such file/, 'nothing.ts'],
      [/empty\.ts: exports no definition/, definitionFile('empty.ts', 'export const nothing: number = 1')],
      [/broken\.ts: line 1:16: .*Expected/, definitionFile('broken.ts', 'export default {{')],
      [
        /timed\.ts: definition "timed": state a waits for delay "soon", which is not/,
        definitionFile(
          'timed.ts',
          `import { createMachine } from 'xstate'
           import { defineSession } from 'troupe'
           const machine = createMachine({ initial: 'a', states: { a: { after: { soon: 'b' } }, b: {} } })
           export default defineSession({ name: 'timed', version: 1, machine })`,
        ),
      ],
      [
        /twice\.mjs: definition "document" version 1 is registered twice/,
        definitionFile(
          'twice.mjs',
          `export { documentSession as a } from ${JSON.stringify(join(MAIN, '../../../actors/lifecycles/document.js'))}`,
        ),
      ],
    ]
    await Promise.all(wrong.map(([reason, file]) => expectRefusal(reason, [file])))
  })
})

describe('LC2 a start that is told to stop', () => {
  it.each([300, 600, 900, 1200])('LC2 after %i ms leaves at once, without a complaint', async (ms) => {
    const child = spawn(process.execPath, [MAIN], {
      cwd: folder,
      env: { PATH: process.env['PATH'], PORT: '0', REDIS_URL: redisUrl(), DATABASE_URL: databaseUrl() },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let complaint = ''
    child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
    await sleep(ms)
    const told = Date.now()
    child.kill('SIGTERM')
    await once(child, 'exit')
    // Far below the time after which processes that hang are killed.
    expect(Date.now() - told).toBeLessThan(9000)
    expect(complaint).not.toMatch(/troupe:|killed/)
  })
})

describe('definition files', () => {
  it('are found wherever they lie, with what they import, and served by every worker', async () => {
    definitionFile('words.ts', 'export const words: readonly string[] = ["a", "b"]')
    const file = definitionFile(
      'counter.ts',
      `import { setup, assign } from 'xstate'
       import { z } from 'zod'
       import { defineSession } from 'troupe'
       import { words } from './words.js'
       const machine = setup({ types: {} as { context: { n: number, words: readonly string[] } } }).createMachine({
         context: { n: 0, words },
         on: { INCREMENT: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
       })
       export default defineSession({ name: 'counter', version: 1, machine, events: z.object({ type: z.literal('INCREMENT') }) })`,
    )
    const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() }, {}, [file])
    const clients = Array.from({ length: 6 }, () => new ResendingClient(cluster.url))
    try {
      await clients[0]?.request('createSession', { machine: 'counter', id: 'c' })
      for (const client of clients)
        await client.request('updateSession', { id: 'c', event: { type: 'INCREMENT' } })
      const reply = await clients[0]?.request('getSession', { id: 'c' })
      expect(reply?.result).toMatchObject({
        machine: 'counter',
        version: 7,
        context: { n: 6, words: ['a', 'b'] },
      })
    } finally {
      for (const client of clients) client.close()
      await cluster.stop()
      await cluster.dropDatabase()
    }
  })
})
