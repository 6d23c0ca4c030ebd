import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StoreEntry, StoreOutcome } from '../../actors/ports.ts'
import type { Position } from '../../actors/session.ts'
import { transition, Writer } from '../persistence/store-support.ts'
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

  /** Sends the entry again, and expects that nothing changes. */
  async function again(entry: StoreEntry): Promise<StoreOutcome> {
    const before = await rig.state(entry.id)
    const outcome = await a.run(entry)
    expect(await rig.state(entry.id)).toEqual(before)
    return outcome
  }

  describe('CM4 the same commit sent twice applies once', () => {
    it('CM4 sent again at once', async () => {
      const id = sid('at-once')
      const base = await a.write(a.creation(id))
      const entry = a.commit(id, base, { transitions: [transition(2), transition(3)] })
      const made = await a.write(entry)
      expect(await again(entry)).toMatchObject({
        kind: 'duplicate',
        epoch: made.epoch,
        firstVersion: 2,
        version: 3,
        record: { version: 3 },
      })
      expect(await again(entry)).toMatchObject({ kind: 'duplicate', version: 3 })
    })

    it('CM4 sent again in the same call', async () => {
      const id = sid('same-call')
      const base = await a.write(a.creation(id))
      const entry = a.commit(id, base)
      const outcomes = await a.store.execute([entry, entry])
      expect(outcomes).toMatchObject([
        { kind: 'committed', version: 2 },
        { kind: 'duplicate', version: 2 },
      ])
      expect(await rig.rows(id)).toHaveLength(2)
    })

    it('CM4 sent again after others wrote, however often', async () => {
      const id = sid('between')
      const base = await a.write(a.creation(id))
      const entry = a.commit(id, base)
      let current: Position = await a.write(entry)
      for (let n = 0; n < 20; n++) current = await b.write(b.commit(id, current))
      expect(await again(entry)).toMatchObject({
        kind: 'duplicate',
        firstVersion: 2,
        version: 2,
        record: { version: 22 },
      })
    })

    it('CM4 a creation sent again, after others wrote', async () => {
      const id = sid('creation')
      const entry = a.creation(id)
      const made = await a.write(entry)
      expect(await again(entry)).toMatchObject({ kind: 'duplicate', version: 1, record: { version: 1 } })
      await b.write(b.commit(id, made))
      expect(await again(entry)).toMatchObject({ kind: 'duplicate', version: 1, record: { version: 2 } })
    })

    it('CM4 a commit sent again after the session was deleted', async () => {
      const id = sid('deleted-since')
      const base = await a.write(a.creation(id))
      const entry = a.commit(id, base)
      await a.write(entry)
      await b.write(b.deletion(id))
      expect(await again(entry)).toMatchObject({ kind: 'duplicate', version: 2, record: null })
    })

    it('CM4 a creation sent again after the session was deleted resurrects nothing', async () => {
      const id = sid('not-again')
      const entry = a.creation(id)
      await a.write(entry)
      await b.write(b.deletion(id))
      expect(await again(entry)).toMatchObject({ kind: 'duplicate', version: 1, record: null })
      expect(await a.store.read(id)).toBeNull()
    })

    it('CM4 a commit sent again after another life of the session began', async () => {
      const id = sid('another-life')
      const base = await a.write(a.creation(id))
      const entry = a.commit(id, base)
      const made = await a.write(entry)
      await b.write(b.deletion(id))
      const next = await b.write(b.creation(id))
      const outcome = await again(entry)
      expect(outcome).toMatchObject({
        kind: 'duplicate',
        epoch: made.epoch,
        version: 2,
        record: { epoch: next.epoch },
      })
    })

    it('CM4 a deletion sent again, also after the session was created anew', async () => {
      const id = sid('deletion')
      const base = await a.write(a.creation(id))
      const entry = a.deletion(id)
      await a.write(entry)
      expect(await again(entry)).toMatchObject({
        kind: 'duplicate',
        epoch: base.epoch,
        version: 2,
        record: null,
      })
      await b.write(b.creation(id))
      expect(await again(entry)).toMatchObject({ kind: 'duplicate', epoch: base.epoch, version: 2 })
      expect(await b.store.read(id)).not.toBeNull()
    })

    it('CM4 a commit sent again after the same process has ended the session because its time was over', async () => {
      const id = sid('expired-since')
      const base = await a.write(a.creation(id, { ttlMs: 400 }))
      const entry = a.commit(id, base, { ttlMs: 400 })
      await a.write(entry)
      await rig.pass(450)
      await a.write(a.expiry(id))
      expect(await again(entry)).toMatchObject({ kind: 'duplicate', version: 2, record: null })
    })

    it('CM4 a late copy of an earlier number does nothing once a later one is known', async () => {
      const id = sid('late')
      const creation = a.creation(id)
      const base = await a.write(creation)
      const deletion = a.deletion(id)
      await a.write(deletion)
      expect(await again(creation)).toMatchObject({ kind: 'gone', reason: 'deleted' })
      const anew = await a.write(a.creation(id))
      expect(await again(deletion)).toMatchObject({
        kind: 'stale',
        record: { epoch: anew.epoch, version: 1 },
      })
      expect(await again(creation)).toMatchObject({ kind: 'stale' })
      expect(base.epoch).not.toBe(anew.epoch)
      expect(await a.run(a.commit(id, anew))).toMatchObject({ kind: 'committed', version: 2 })
    })

    it('CM4 the same number of another process is another commit', async () => {
      const id = sid('same-number')
      const [x, y] = [new Writer(await rig.store()), new Writer(await rig.store())]
      const base = await x.write(x.creation(id))
      const current = await y.write({ ...y.commit(id, base), number: 1 })
      expect(current.version).toBe(2)
    })

    it('CM4 many writers are all remembered', async () => {
      const id = sid('many')
      const writers = [
        a,
        ...(await Promise.all(Array.from({ length: 6 }, () => rig.store()))).map((s) => new Writer(s)),
      ]
      let current: Position = await b.write(b.creation(id))
      const entries: { writer: Writer; entry: StoreEntry; version: number }[] = []
      for (const writer of writers) {
        const entry = writer.commit(id, current)
        current = await writer.write(entry)
        entries.push({ writer, entry, version: current.version })
      }
      for (const { writer, entry, version } of entries)
        expect(await writer.run(entry)).toMatchObject({ kind: 'duplicate', version })
    })
  })
})
