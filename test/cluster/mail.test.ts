import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { PARTITIONS } from '../../actors/partitions.ts'
import { Keys } from '../../persistence/keys.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { Cluster } from './cluster.ts'
import { duration } from './duration.ts'
import { ResendingClient } from './resending-client.ts'

const ACCOUNTS = 24
const BALANCE = 1000
const CLIENTS = 8
const KILL_EVERY_MS = 1000
/** Nobody has this account: what is sent there comes back. */
const NOBODYS = 'nobody'

const DEFINITIONS = `
import { assign, setup } from 'xstate'
import { defineSession, sendToSession } from 'troupe'

const add = assign({ balance: ({ context, event }) => context.balance + event.amount })
const account = setup({}).createMachine({
  context: { balance: ${BALANCE}, returned: 0 },
  on: {
    TRANSFER: {
      guard: ({ context, event }) => context.balance >= event.amount,
      actions: [
        assign({ balance: ({ context, event }) => context.balance - event.amount }),
        sendToSession(({ event }) => event.to, ({ event }) => ({ type: 'DEPOSIT', amount: event.amount })),
      ],
    },
    DEPOSIT: { actions: add },
    'troupe.undelivered': {
      actions: assign({
        balance: ({ context, event }) => context.balance + event.event.amount,
        returned: ({ context }) => context.returned + 1,
      }),
    },
  },
})
export default defineSession({ name: 'account', version: 1, machine: account, ttlMs: null })
`

interface Account {
  readonly balance: number
  readonly returned: number
}

it('LC1 TM6 workers killed with -9 while sessions send each other money: none is lost, none is made', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-mail-'))
  const file = join(folder, 'account.ts')
  writeFileSync(file, DEFINITIONS)
  const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() }, {}, [file])
  const clients = Array.from({ length: CLIENTS }, () => new ResendingClient(cluster.url))
  const [reader] = clients as [ResendingClient]
  const redis = new Redis(redisUrl())
  const names = Array.from({ length: ACCOUNTS }, (_, index) => `account-${index}`)
  const accounts = async (): Promise<Account[]> =>
    Promise.all(
      names.map(async (id) => (await reader.request('getSession', { id })).result?.['context'] as Account),
    )
  const waiting = async (): Promise<number> => {
    const keys = new Keys(cluster.prefix)
    const lengths = await Promise.all(
      Array.from({ length: PARTITIONS }, (_, partition) => redis.xlen(keys.mail(partition))),
    )
    return lengths.reduce((sum, length) => sum + length, 0)
  }
  try {
    for (const id of names) {
      const { error } = await reader.request('createSession', { machine: 'account', id, key: id })
      expect(error).toBeUndefined()
    }
    let isRunning = true
    let transfers = 0
    let toNobody = 0
    const loops = clients.map(async (client, number) => {
      for (let n = 0; isRunning; n++) {
        const id = names[(number + n) % ACCOUNTS] as string
        const isLost = n % 10 === 9
        const to = isLost ? NOBODYS : (names[(number + 7 * n + 1) % ACCOUNTS] as string)
        const event = { type: 'TRANSFER', to, amount: 1 + (n % 5) }
        const { result, error } = await client.request('updateSession', { id, event, key: `c${number}-${n}` })
        if (error !== undefined) throw new Error(JSON.stringify(error))
        if (result?.['outcome'] === 'unchanged') continue
        transfers++
        if (isLost) toNobody++
      }
    })
    let kills = 0
    for (const until = Date.now() + duration(6_000, 60_000); Date.now() < until;) {
      await sleep(KILL_EVERY_MS)
      if (cluster.killOne('worker.js')) kills++
    }
    isRunning = false
    await Promise.all(loops)
    for (const until = Date.now() + 30_000; Date.now() < until && (await waiting()) > 0;) await sleep(200)
    expect(await waiting()).toBe(0)
    const all = await accounts()
    expect(all.reduce((sum, { balance }) => sum + balance, 0)).toBe(ACCOUNTS * BALANCE)
    expect(all.reduce((sum, { returned }) => sum + returned, 0)).toBe(toNobody)
    expect(kills).toBeGreaterThan(2)
    await cluster.whenAuditCaughtUp(40_000)
    const [rows] = await cluster.rows<{ events: string; mails: string }>(
      `select count(*) filter (where event_type = 'TRANSFER') as events,
              count(*) filter (where kind = 'mail') as mails from troupe_transitions`,
    )
    expect(rows).toEqual({ events: `${transfers}`, mails: `${transfers}` })
    console.log(`${transfers} transfers between sessions, ${toNobody} of them to nobody, ${kills} kills`)
  } finally {
    redis.disconnect()
    for (const client of clients) client.close()
    await cluster.stop()
    await cluster.dropDatabase()
    rmSync(folder, { recursive: true, force: true })
  }
})
