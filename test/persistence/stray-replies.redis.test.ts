import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { StoreFailure } from '../../actors/ports.ts'
import type { Position, SessionId } from '../../actors/session.ts'
import type { RedisSessionStore } from '../../persistence/redis-session-store.ts'
import { Dice } from '../fuzz/dice.ts'
import { sid, sleepMs, TestCluster, until } from '../support/hosts.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { transition, Writer } from './store-support.ts'

let cluster: TestCluster
let proxy: TcpProxy
let store: RedisSessionStore
let writer: Writer

beforeAll(() => {
  cluster = new TestCluster()
})
afterAll(() => cluster.close())
beforeEach(async () => {
  proxy = await TcpProxy.start(cluster.url)
  store = await cluster.store({ url: proxy.url })
  writer = new Writer(store)
})
afterEach(async () => {
  store.stop()
  await proxy.stop()
})

/** Asks again as the host does, with the same commit number, until there is an answer. */
async function insist<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof StoreFailure)) throw error
      expect(error.effect).not.toBe('failed')
      await sleepMs(5)
    }
  }
}

describe('a connection whose bytes come twice', () => {
  it.each(['up', 'down'] as const)(
    'CM4 TR2 %s: each command gets its own reply or none, each commit is made once',
    async (direction) => {
      const dice = new Dice(7)
      const ids = Array.from({ length: 8 }, (_, n) => sid(`stray-${direction}-${n}`))
      // The state of each session says whose it is.
      const stateOf = (id: SessionId, version: number): string => JSON.stringify({ id, version })
      const commits = async (id: SessionId): Promise<void> => {
        let at: Position | null = null
        for (let version = 1; version <= 60; version++) {
          const transitions = [{ ...transition(version), state: stateOf(id, version) }]
          const entry =
            at === null
              ? writer.creation(id, { transitions: [{ ...transition(0), kind: 'created' }] })
              : writer.commit(id, at, { transitions })
          const outcome = await insist(() => writer.run(entry))
          expect(outcome).toMatchObject({ version })
          expect(['committed', 'duplicate']).toContain(outcome.kind)
          at = outcome as unknown as Position
        }
      }
      const reads = async (id: SessionId): Promise<void> => {
        for (let version = 0; version <= 60;) {
          const record = await insist(() => store.read(id))
          if (record === null) expect(version).toBe(0)
          else if (record.version > 1) {
            expect(record.state).toBe(stateOf(id, record.version))
            expect(record.version).toBeGreaterThanOrEqual(version)
          }
          version = record?.version ?? 0
          if (version === 60) return
        }
      }
      let isOver = false
      const doubling = (async () => {
        while (!isOver) {
          await sleepMs(dice.below(6))
          proxy.apply({ kind: 'duplicate', direction }, () => dice.chance(0.7))
        }
      })()
      await Promise.all(ids.flatMap((id) => [commits(id), reads(id)]))
      isOver = true
      await doubling
      for (const id of ids)
        expect(await insist(() => store.read(id))).toMatchObject({ state: stateOf(id, 60) })
    },
    60_000,
  )

  it('TR1 does not end the process by a nil that nobody waits for, and is opened anew', async () => {
    for (let times = 0; times < 3; times++) {
      const before = proxy.opened
      proxy.apply({ kind: 'duplicate', direction: 'down' }, () => true)
      // An error that nobody catches fails the whole run.
      await insist(() => store.read(sid('nobody')))
      await until(() => proxy.opened > before && store.isReady())
    }
    expect(await insist(() => store.read(sid('nobody')))).toBeNull()
  })
})

describe('a connection on which nothing comes any more', () => {
  it('FD1 is opened anew, though nobody closes it', async () => {
    const id = sid('silent')
    await writer.write(writer.creation(id))
    const hit = proxy.apply({ kind: 'half-open', gone: 'server' })
    expect(hit).toBe(2)
    const began = Date.now()
    const check = insist(() => writer.run(writer.check(id, null)))
    expect(await insist(() => store.read(id))).toMatchObject({ version: 1 })
    expect(await check).toMatchObject({ kind: 'stale' })
    expect(Date.now() - began).toBeLessThan(8000)
  }, 20_000)
})
