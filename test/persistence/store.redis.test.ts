import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PARTITIONS, partitionOf, partitionTags } from '../../actors/partitions.ts'
import type { StoreFailure } from '../../actors/ports.ts'
import { sid, TestCluster, until } from '../support/hosts.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { Writer } from './store-support.ts'

let cluster: TestCluster
let writer: Writer

beforeAll(async () => {
  cluster = new TestCluster()
  writer = new Writer(await cluster.store())
})
afterAll(() => cluster.close())

describe('the layout', () => {
  it('is written at the first start and agreed on by the next', async () => {
    const layout = JSON.parse((await cluster.redis.get(cluster.keys.layout)) ?? '') as Record<string, unknown>
    expect(layout).toMatchObject({ recordFormat: 3, partitions: 64, hash: 'crc16' })
    await expect(cluster.store()).resolves.toBeDefined()
  })

  it('a process that differs refuses to start, and says what to do', async () => {
    const other = new TestCluster()
    await other.redis.set(other.keys.layout, '{"partitions":32}')
    await expect(other.store()).rejects.toThrow(/another layout .*32.*KEY_PREFIX/s)
    expect(await other.redis.get(other.keys.layout)).toBe('{"partitions":32}')
    await other.close()
  })

  it('all keys and channels of a session lie in one slot', async () => {
    const { keys } = cluster
    for (const id of ['a', 'cart-1', 'k~:x@.', 'Z9'].map(sid)) {
      const partition = partitionOf(id)
      const names = [keys.session(id), keys.commandKeys(id), keys.channel(id), keys.base(partition)]
      names.push(
        keys.timers(partition),
        keys.outbox(partition),
        keys.home(partition),
        keys.partitionChannel(partition),
      )
      // What Redis Cluster hashes is what stands between the first braces.
      expect(new Set(names.map((name) => /\{(.+?)\}/.exec(name)?.[1]))).toEqual(
        new Set([partitionTags[partition]]),
      )
    }
    expect(() => keys.base(PARTITIONS)).toThrow(RangeError)
  })
})

describe('calls', () => {
  it('a server that forgot the script is told it again', async () => {
    await cluster.redis.script('FLUSH')
    expect(await writer.run(writer.creation(sid('forgotten')))).toMatchObject({ kind: 'committed' })
  })
})

describe('reads', () => {
  it('CM7 those that leave together ask once; none is older than what was acknowledged before it', async () => {
    const id = sid('read-by-many')
    let newest = await writer.write(writer.creation(id))
    const turn = await Promise.all([writer.store.read(id), writer.store.read(id), writer.store.read(id)])
    expect(new Set(turn).size).toBe(1)

    let isWriting = true
    const older: unknown[] = []
    const readOn = async (): Promise<void> => {
      while (isWriting) {
        const { version } = newest
        const record = await writer.store.read(id)
        if ((record?.version ?? 0) < version) older.push([version, record?.version])
        await nextTurn()
      }
    }
    const readers = Array.from({ length: 8 }, readOn)
    for (let written = 0; written < 300; written++) {
      newest = await writer.write(writer.commit(id, newest))
      const record = await writer.store.read(id)
      if (record?.version !== newest.version) older.push([newest.version, record?.version])
    }
    isWriting = false
    await Promise.all(readers)
    expect(older).toEqual([])
  })
})

describe('without a connection', () => {
  it('everything fails at once, surely not applied, and works again after it came back', async () => {
    const proxy = await TcpProxy.start(cluster.url)
    const store = await cluster.store({ url: proxy.url })
    const mine = new Writer(store)
    const id = sid('away')
    await mine.write(mine.creation(id))
    proxy.cut({ refusing: true })
    const calls = [
      () => mine.run(mine.check(id, null)),
      () => store.read(id),
      () => store.positions([id]),
      () => store.broadcast(id, '1'),
    ]
    const effects = (): Promise<unknown[]> =>
      Promise.all(
        calls.map((call) =>
          call().then(
            () => 'done',
            (error: StoreFailure) => error.effect,
          ),
        ),
      )
    // Both connections of the store have noticed.
    await until(async () => (await effects()).every((effect) => effect === 'not-applied'))
    const began = Date.now()
    expect(await effects()).toEqual(calls.map(() => 'not-applied'))
    expect(Date.now() - began).toBeLessThan(1000)
    expect(await store.answers(1000)).toBe(false)
    proxy.heal()
    await until(() => store.isReady())
    expect(await store.read(id)).toMatchObject({ version: 1 })
    expect(await store.answers(1000)).toBe(true)
    store.stop()
    await proxy.stop()
  })
})
