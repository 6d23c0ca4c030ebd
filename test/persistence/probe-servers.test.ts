import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { messageOf } from '../../actors/errors.ts'
import { checkPostgres } from '../../persistence/probe-postgres.ts'
import { checkRedis } from '../../persistence/probe-redis.ts'
import { startEmbeddedServers, type EmbeddedServers } from '../../runtime/embedded/servers.ts'

let dataDir: string
let servers: EmbeddedServers
let redisUrl: string
let databaseUrl: string

// Servers of its own: their settings are changed here.
beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'troupe-probes-'))
  servers = await startEmbeddedServers({
    dataDir,
    redisBinaries: join(import.meta.dirname, '../../.troupe/redis-server'),
    redis: true,
    postgres: true,
    durable: false,
    log: () => undefined,
  })
  redisUrl = servers.redisUrl ?? ''
  databaseUrl = servers.databaseUrl ?? ''
})

afterAll(async () => {
  await servers.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

/** A port that nobody listens on, then one that somebody does who never answers, or speaks another language. */
async function withListener(says: string | null, use: (port: number) => Promise<void>): Promise<void> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined)
    if (says !== null) socket.end(says)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    await use((server.address() as AddressInfo).port)
  } finally {
    server.close()
  }
}

function altered(url: string, change: (url: URL) => void): string {
  const copy = new URL(url)
  change(copy)
  return copy.href
}

describe('checkRedis', () => {
  async function withRedis(commands: string[][], undo: string[][], use: () => Promise<void>): Promise<void> {
    const redis = new Redis(redisUrl)
    const run = async (list: string[][]) => {
      for (const [name, ...args] of list) await redis.call(name ?? '', ...args)
    }
    try {
      await run(commands)
      await use()
    } finally {
      await run(undo)
      redis.disconnect()
    }
  }

  it('names a server that will do', async () => {
    expect((await checkRedis(redisUrl)).name).toMatch(/^(Redis|Valkey) \d+\.\d+/)
  })

  it.each([
    [
      'nobody listens',
      'redis://127.0.0.1:1',
      /cannot be reached \(ECONNREFUSED\): start it, or check host and port/,
    ],
    ['no such host', 'redis://nowhere.invalid', /cannot be found \(no such host\)/],
  ])('%s', async (_, url, message) => {
    await expect(checkRedis(url)).rejects.toThrow(message)
  })

  it('a port that speaks another language', async () => {
    await withListener('HTTP/1.1 400 Bad Request\r\n\r\n', async (port) => {
      await expect(checkRedis(`redis://127.0.0.1:${String(port)}`)).rejects.toThrow(
        "does not speak Redis' protocol",
      )
    })
  })

  it('a port that never answers', async () => {
    await withListener(null, async (port) => {
      await expect(checkRedis(`redis://127.0.0.1:${String(port)}`)).rejects.toThrow('no answer in time')
    })
  })

  it('a wrong password, which the message does not repeat', async () => {
    const url = altered(redisUrl, (to) => {
      to.username = 'somebody'
      to.password = 'hush'
    })
    const message = await checkRedis(url).catch(messageOf)
    expect(message).toMatch(/refuses the password/)
    expect(message).not.toContain('hush')
  })

  it('a database that does not exist', async () => {
    await expect(checkRedis(`${redisUrl}/99`)).rejects.toThrow('no database of that number')
  })

  it('a server that may evict keys', async () => {
    const set = (policy: string) => [['CONFIG', 'SET', 'maxmemory-policy', policy]]
    await withRedis(set('allkeys-lru'), set('noeviction'), async () => {
      await expect(checkRedis(redisUrl)).rejects.toThrow(/may evict keys.*allkeys-lru.*set it to noeviction/)
    })
  })

  it('a replica', async () => {
    await withRedis([['REPLICAOF', '127.0.0.1', '1']], [['REPLICAOF', 'NO', 'ONE']], async () => {
      await expect(checkRedis(redisUrl)).rejects.toThrow(/is a replica of 127.0.0.1:1 and read-only/)
    })
  })

  it('a user without the right to run scripts', async () => {
    const add = [['ACL', 'SETUSER', 'clerk', 'on', '>pw', '+info', '+select']]
    await withRedis(add, [['ACL', 'DELUSER', 'clerk']], async () => {
      const url = altered(redisUrl, (to) => {
        to.username = 'clerk'
        to.password = 'pw'
      })
      await expect(checkRedis(url)).rejects.toThrow(/refuses a command to this user \(NOPERM/)
    })
  })
})

describe('checkPostgres', () => {
  async function run(...statements: string[]): Promise<void> {
    const client = new pg.Client(databaseUrl)
    await client.connect()
    try {
      for (const statement of statements) await client.query(statement)
    } finally {
      await client.end()
    }
  }

  it('names a server that will do', async () => {
    expect((await checkPostgres(databaseUrl)).name).toMatch(/^PostgreSQL \d+/)
  })

  it.each([
    [
      'nobody listens',
      'postgres://a:b@127.0.0.1:1/x',
      /cannot be reached \(ECONNREFUSED\): start it, or check/,
    ],
    ['no such host', 'postgres://a:b@nowhere.invalid/x', /cannot be found \(no such host\)/],
  ])('%s', async (_, url, message) => {
    await expect(checkPostgres(url)).rejects.toThrow(message)
  })

  it('a port that never answers', async () => {
    await withListener(null, async (port) => {
      await expect(checkPostgres(`postgres://a:b@127.0.0.1:${String(port)}/x`)).rejects.toThrow(
        'no answer in time',
      )
    })
  })

  it('a wrong password, which the message does not repeat', async () => {
    const url = altered(databaseUrl, (to) => {
      to.password = 'hush'
    })
    const message = await checkPostgres(url).catch(messageOf)
    expect(message).toMatch(/refuses the login .*check user and password in DATABASE_URL/)
    expect(message).not.toContain('hush')
  })

  it('a database that does not exist', async () => {
    const url = altered(databaseUrl, (to) => {
      to.pathname = '/nothing'
    })
    await expect(checkPostgres(url)).rejects.toThrow(/does not exist: create it \(createdb nothing\)/)
  })

  it('a user who may not create tables', async () => {
    await run(`create role clerk login password 'pw'`)
    const url = altered(databaseUrl, (to) => {
      to.username = 'clerk'
      to.password = 'pw'
    })
    await expect(checkPostgres(url)).rejects.toThrow(/does not let this user create tables: grant it/)
  })

  it('a database that is read-only, or stores text in another encoding', async () => {
    await run(
      `create database latin encoding 'LATIN1' template template0`,
      'create database museum',
      'alter database museum set default_transaction_read_only = on',
    )
    const at = (name: string) =>
      altered(databaseUrl, (to) => {
        to.pathname = `/${name}`
      })
    await expect(checkPostgres(at('latin'))).rejects.toThrow(/stores text as LATIN1/)
    await expect(checkPostgres(at('museum'))).rejects.toThrow(/is read-only/)
  })
})
