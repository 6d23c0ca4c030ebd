/** Starts the servers of a test run, once, before all tests. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { DataDirInUseError } from '../../runtime/embedded/data-dir-lock.ts'
import { startEmbeddedServers, type EmbeddedServers } from '../../runtime/embedded/servers.ts'
import './servers.ts'

const PROJECT = join(import.meta.dirname, '..', '..')
const DATA = join(PROJECT, '.troupe')

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Processes and threads of tests run what is compiled: it must be what the sources say.
  execFileSync(process.execPath, [join(PROJECT, 'scripts/prepare.mjs')], { stdio: 'inherit' })
  const servers = await startServers(1)
  const { redisUrl, databaseUrl } = servers
  if (redisUrl === undefined || databaseUrl === undefined) throw new Error('the test servers did not start')
  await empty(redisUrl, databaseUrl)
  project.provide('redisUrl', redisUrl)
  project.provide('databaseUrl', databaseUrl)
  return () => servers.stop()
}

/** Test runs at the same time have a folder each; one that was killed leaves its servers to the next. */
async function startServers(run: number): Promise<EmbeddedServers> {
  try {
    return await startEmbeddedServers({
      dataDir: join(DATA, run === 1 ? 'test' : `test-${String(run)}`),
      redisBinaries: join(DATA, 'redis-server'),
      redis: true,
      postgres: true,
      durable: false,
      log: (line) => {
        console.log(`test servers: ${line}`)
      },
    })
  } catch (error) {
    if (error instanceof DataDirInUseError && run < 8) return startServers(run + 1)
    throw error
  }
}

/** Takes away what an earlier run has left. */
async function empty(redisUrl: string, databaseUrl: string): Promise<void> {
  const redis = new Redis(redisUrl)
  await redis.flushall()
  redis.disconnect()
  const client = new pg.Client(databaseUrl)
  await client.connect()
  await client.query('drop schema public cascade')
  await client.query('create schema public')
  await client.end()
}
