import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CommandKey, StoreOutcome } from '../../actors/ports.ts'
import type { Position, SessionId } from '../../actors/session.ts'
import { key, transition, Writer } from '../persistence/store-support.ts'
import { sid } from '../support/hosts.ts'
import { stores } from './store-rig.ts'
import type { StoreRig } from './store-rig.ts'

describe.each(stores)('in %s', (_name, create) => {
  let rig: StoreRig
  let a: Writer
  let b: Writer

  beforeAll(async () => {
    rig = create()
    a = new Writer(await rig.store())
    b = new Writer(await rig.store())
  })
  afterAll(() => rig.close())

  function keyed(
    writer: Writer,
    id: SessionId,
    base: Position,
    ...keys: CommandKey[]
  ): Promise<StoreOutcome> {
    const transitions = keys.map((k, n) => transition(base.version + 1 + n, k))
    return writer.run(writer.commit(id, base, { keys, transitions }))
  }

  async function created(id: SessionId): Promise<Position> {
    const { epoch, version } = await a.write(a.creation(id))
    return { epoch, version }
  }

  describe('CM5 the same command key applies once', () => {
    it('CM5 from another process, after other commits: the version that it made', async () => {
      const id = sid('elsewhere')
      const base = await created(id)
      expect(await keyed(a, id, base, key('k1'), key('k2'), key('k3'))).toMatchObject({
        kind: 'committed',
        version: 4,
      })
      await b.write(b.commit(id, { ...base, version: 4 }))
      const before = await rig.state(id)
      expect(await keyed(b, id, { ...base, version: 5 }, key('new'), key('k2'))).toEqual({
        kind: 'known',
        hits: [{ index: 1, reused: false, epoch: base.epoch, version: 3 }],
        record: await a.store.read(id),
      })
      expect(await b.run(b.check(id, null, [key('k3'), key('k1')]))).toMatchObject({
        kind: 'known',
        hits: [
          { index: 0, version: 4 },
          { index: 1, version: 2 },
        ],
      })
      expect(await rig.state(id)).toEqual(before)
    })

    it('CM5 a known key is recognised before the position is compared', async () => {
      const id = sid('stale-and-known')
      const base = await created(id)
      await keyed(a, id, base, key('k'))
      expect(await keyed(b, id, base, key('k'))).toMatchObject({ kind: 'known', hits: [{ version: 2 }] })
      expect(await keyed(b, id, base, key('other'))).toMatchObject({ kind: 'stale' })
    })

    it('CM5 with another event it is a reused key', async () => {
      const id = sid('reused')
      const base = await created(id)
      await keyed(a, id, base, key('k', 'f1'))
      expect(await keyed(b, id, { ...base, version: 2 }, key('k', 'f2'))).toMatchObject({
        kind: 'known',
        hits: [{ index: 0, reused: true, version: 2 }],
      })
    })

    it('CM5 only commits are remembered', async () => {
      const id = sid('not-remembered')
      const base = await created(id)
      await a.write(a.commit(id, base))
      expect(await keyed(a, id, base, key('k'))).toMatchObject({ kind: 'stale' })
      expect(await b.run(b.check(id, { ...base, version: 2 }, [key('k')]))).toEqual({ kind: 'current' })
      expect(await keyed(a, id, { ...base, version: 2 }, key('k'))).toMatchObject({
        kind: 'committed',
        version: 3,
      })
    })

    it('CM5 two processes send the same key at once: one applies it', async () => {
      const id = sid('at-once')
      const base = await created(id)
      const outcomes = await Promise.all([keyed(a, id, base, key('k')), keyed(b, id, base, key('k'))])
      expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['committed', 'known'])
    })

    it('CM5 a creation is known by its key, also after the session has ended', async () => {
      const id = sid('creation')
      const k = key('create')
      const creation = (writer: Writer) =>
        writer.creation(id, { keys: [k], transitions: [{ ...transition(0, k), kind: 'created' }] })
      const made = await a.write(creation(a))
      expect(await b.run(creation(b))).toMatchObject({
        kind: 'known',
        hits: [{ index: 0, reused: false, epoch: made.epoch, version: 1 }],
        record: { version: 1 },
      })
      await a.write(a.deletion(id))
      expect(await b.run(creation(b))).toMatchObject({ kind: 'known', record: null })
      expect(await a.store.read(id)).toBeNull()
    })

    it('CM5 a key is forgotten after its time, and no later than that', async () => {
      const short = new Writer(await rig.store({ commandKeyTtlMs: 300 }))
      const id = sid('short')
      const base = await created(id)
      expect(await keyed(short, id, base, key('k'))).toMatchObject({ kind: 'committed', version: 2 })
      expect(await keyed(short, id, { ...base, version: 2 }, key('k'))).toMatchObject({ kind: 'known' })
      // Another key keeps the hash alive, and not the first key.
      await rig.pass(200)
      expect(await keyed(short, id, { ...base, version: 2 }, key('k2'))).toMatchObject({
        kind: 'committed',
        version: 3,
      })
      await rig.pass(150)
      expect(await keyed(short, id, { ...base, version: 3 }, key('k'))).toMatchObject({
        kind: 'committed',
        version: 4,
      })
    })
  })
})
