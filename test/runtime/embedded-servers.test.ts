import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { DataDirInUseError } from '../../runtime/embedded/data-dir-lock.ts'
import { findRedisBinary } from '../../runtime/embedded/redis-binary.ts'
import { startEmbeddedServers, type EmbeddedServers } from '../../runtime/embedded/servers.ts'

const project = join(import.meta.dirname, '../..')
const redisBinaries = join(project, '.troupe', 'redis-server')

let dataDir: string
let running: EmbeddedServers[]

beforeEach(() => {
  // Only its owner may enter such a folder: for root, this is the case of a clone under /root.
  dataDir = mkdtempSync(join(tmpdir(), 'troupe-servers-'))
  running = []
})

afterEach(async () => {
  for (const servers of running) await servers.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

async function start(what: { redis?: boolean; postgres?: boolean; durable?: boolean } = {}) {
  const log: string[] = []
  const servers = await startEmbeddedServers({
    dataDir,
    redisBinaries,
    redis: what.redis ?? true,
    postgres: what.postgres ?? true,
    durable: what.durable ?? true,
    log: (line) => log.push(line),
  })
  running.push(servers)
  return { ...servers, redisUrl: servers.redisUrl ?? '', databaseUrl: servers.databaseUrl ?? '', log }
}

async function inRedis<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, { retryStrategy: () => null })
  redis.on('error', () => undefined)
  try {
    return await use(redis)
  } finally {
    redis.disconnect()
  }
}

async function sql(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows
  } finally {
    await client.end()
  }
}

async function write({ redisUrl, databaseUrl }: { redisUrl: string; databaseUrl: string }) {
  await inRedis(redisUrl, (redis) => redis.set('kept', 'yes'))
  await sql(databaseUrl, `create table kept as select 'yes' as answer`)
}

async function read({ redisUrl, databaseUrl }: { redisUrl: string; databaseUrl: string }) {
  return [await inRedis(redisUrl, (redis) => redis.get('kept')), ...(await sql(databaseUrl, 'table kept'))]
}

const everything = ['yes', { answer: 'yes' }]

describe('servers of our own', () => {
  it('are there again after a stop, at the same addresses with the same data', async () => {
    const first = await start()
    await write(first)
    await first.stop()
    const second = await start()
    expect(second).toMatchObject({ redisUrl: first.redisUrl, databaseUrl: first.databaseUrl })
    expect(await read(second)).toEqual(everything)
  })

  it('are durable, keep every key, and store any text', async () => {
    const { redisUrl, databaseUrl } = await start()
    await inRedis(redisUrl, async (redis) => {
      for (const [name, value] of [
        ['appendonly', 'yes'],
        ['appendfsync', 'everysec'],
        ['maxmemory-policy', 'noeviction'],
        ['protected-mode', 'yes'],
        ['bind', '127.0.0.1'],
      ])
        expect(await redis.config('GET', name ?? '')).toEqual([name, value])
    })
    const [settings] = await sql(
      databaseUrl,
      `select current_setting('fsync') as fsync, current_setting('server_encoding') as encoding,
              current_setting('listen_addresses') as addresses, current_setting('data_checksums') as checksums`,
    )
    expect(settings).toEqual({ fsync: 'on', encoding: 'UTF8', addresses: '127.0.0.1', checksums: 'on' })
    await expect(sql(databaseUrl.replace(/:[0-9a-f]{20,}@/, ':wrong@'), 'select 1')).rejects.toThrow(
      'password',
    )
  })

  it('that a killed start left running are adopted, and stopped by the one that adopted them', async () => {
    const child = spawnSync(
      process.execPath,
      ['--import', 'tsx', join(import.meta.dirname, 'start-servers-and-die.ts'), dataDir, redisBinaries],
      { cwd: project, encoding: 'utf8' },
    )
    expect(child.signal, child.stderr).toBe('SIGKILL')
    const left = JSON.parse(child.stdout) as { redisUrl: string; databaseUrl: string }
    await write(left)
    const began = await inRedis(left.redisUrl, (redis) => redis.info('server'))

    const adopted = await start()
    expect(adopted).toMatchObject(left)
    const now = await inRedis(adopted.redisUrl, (redis) => redis.info('server'))
    expect(/run_id:\w+/.exec(now)?.[0]).toBe(/run_id:\w+/.exec(began)?.[0])
    expect(await read(adopted)).toEqual(everything)

    await adopted.stop()
    await expect(sql(left.databaseUrl, 'select 1')).rejects.toThrow('ECONNREFUSED')
  })

  it('use the Redis that is found on PATH, and fetch none', async () => {
    const { command, env = {} } = await findRedisBinary(redisBinaries, () => undefined)
    const bin = join(dataDir, 'bin')
    mkdirSync(bin)
    // By the PATH as it was: where it has a redis-server, that is the command.
    const outside = `PATH='${process.env.PATH ?? ''}' LD_LIBRARY_PATH='${env.LD_LIBRARY_PATH ?? ''}'`
    writeFileSync(join(bin, 'redis-server'), `#!/bin/sh\n${outside} exec '${command}' "$@"\n`, {
      mode: 0o755,
    })
    vi.stubEnv('PATH', `${bin}:${process.env.PATH ?? ''}`)
    try {
      const servers = await startEmbeddedServers({
        dataDir,
        redis: true,
        postgres: false,
        log: (line) => {
          throw new Error(`nothing to do was expected, and not: ${line}`)
        },
      })
      running.push(servers)
      expect(await inRedis(servers.redisUrl ?? '', (redis) => redis.ping())).toBe('PONG')
      expect(servers.databaseUrl).toBeUndefined()
    } finally {
      vi.unstubAllEnvs()
    }
  })

  it('in one folder belong to one process; a second start is refused and disturbs nothing', async () => {
    const first = await start({ durable: false })
    await expect(start()).rejects.toThrow(DataDirInUseError)
    await expect(start()).rejects.toThrow(`process ${String(process.pid)}`)
    await write(first)
    expect(await read(first)).toEqual(everything)
  })

  it('are started where a lock was left by a process that is no more', async () => {
    // The pid lives, but is not the process that took the lock: numbers are used again.
    const stale = JSON.stringify({ pid: process.ppid, startedAt: 'another boot/1' })
    writeFileSync(join(dataDir, 'servers.lock'), stale)
    await start({ postgres: false })
    expect(readFileSync(join(dataDir, 'servers.lock'), 'utf8')).toContain(String(process.pid))
  })

  it('that die are started again, at the same addresses with what they had acknowledged', async () => {
    const servers = await start()
    await write(servers)
    const info = await inRedis(servers.redisUrl, (redis) => redis.info('server'))
    process.kill(Number(/process_id:(\d+)/.exec(info)?.[1]), 'SIGKILL')
    const pid = readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]
    process.kill(Number(pid), 'SIGKILL')
    await expect
      .poll(() => read(servers).catch(() => 'not yet'), { timeout: 25_000, interval: 250 })
      .toEqual(everything)
    expect(servers.log).toEqual(
      expect.arrayContaining(['Redis has died: starting it again', 'PostgreSQL has died: starting it again']),
    )
  })

  it('move to another port when theirs was taken', async () => {
    const first = await start()
    await write(first)
    await first.stop()
    const takers = [first.redisUrl, first.databaseUrl].map((url) =>
      createServer().listen(Number(new URL(url).port), '127.0.0.1'),
    )
    try {
      const second = await start()
      expect(new URL(second.redisUrl).port).not.toBe(new URL(first.redisUrl).port)
      expect(new URL(second.databaseUrl).port).not.toBe(new URL(first.databaseUrl).port)
      expect(await read(second)).toEqual(everything)
    } finally {
      for (const taker of takers) taker.close()
    }
  })

  it('are not shared with a copy of their folder', async () => {
    const first = await start()
    await write(first)
    await first.stop()
    const copy = mkdtempSync(join(tmpdir(), 'troupe-copy-'))
    cpSync(dataDir, copy, { recursive: true })
    const original = await start()
    for (const file of ['servers.lock', 'redis.json', 'postgres.json', 'postgres/postmaster.pid'])
      cpSync(join(dataDir, file), join(copy, file))
    const home = dataDir
    try {
      dataDir = copy
      const other = await start()
      expect(other.redisUrl).not.toBe(original.redisUrl)
      expect(new URL(other.databaseUrl).port).not.toBe(new URL(original.databaseUrl).port)
      expect(await read(other)).toEqual(everything)
      await other.stop()
      expect(await read(original)).toEqual(everything)
    } finally {
      dataDir = home
      rmSync(copy, { recursive: true, force: true })
    }
  })

  it('are made anew over what an interrupted first start has left', async () => {
    mkdirSync(join(dataDir, 'postgres.new'))
    writeFileSync(join(dataDir, 'postgres.new', 'PG_VERSION'), '18')
    writeFileSync(join(dataDir, 'redis.json'), '{"po')
    const servers = await start({ durable: false })
    await write(servers)
    expect(await read(servers)).toEqual(everything)
  })

  it('give PostgreSQL a new password when the remembered one is lost', async () => {
    const first = await start({ redis: false, durable: false })
    await sql(first.databaseUrl, `create table kept as select 'yes' as answer`)
    await first.stop()
    rmSync(join(dataDir, 'postgres.json'))
    const second = await start({ redis: false, durable: false })
    expect(await sql(second.databaseUrl, 'table kept')).toEqual([{ answer: 'yes' }])
  })

  it('are not written over a folder of somebody else, and none is left running after a failure', async () => {
    mkdirSync(join(dataDir, 'postgres'))
    writeFileSync(join(dataDir, 'postgres', 'thesis.txt'), 'the only copy')
    await expect(start()).rejects.toThrow('is not a PostgreSQL data folder: move it away')
    expect(readFileSync(join(dataDir, 'postgres', 'thesis.txt'), 'utf8')).toBe('the only copy')
    const { port } = JSON.parse(readFileSync(join(dataDir, 'redis.json'), 'utf8')) as { port: number }
    const redis = new Redis(port, { lazyConnect: true, retryStrategy: () => null })
    redis.on('error', () => undefined)
    await expect(redis.connect()).rejects.toThrow()
  })

  it('refuse data of another PostgreSQL with a line that says what to do', async () => {
    mkdirSync(join(dataDir, 'postgres'))
    writeFileSync(join(dataDir, 'postgres', 'PG_VERSION'), '9\n')
    await expect(start({ redis: false })).rejects.toThrow(
      /was written by PostgreSQL 9 and this Troupe carries/,
    )
  })
})
