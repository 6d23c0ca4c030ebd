import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { partitionOf } from '../../actors/partitions.ts'
import type { SessionId } from '../../actors/session.ts'
import { Writer } from '../persistence/store-support.ts'
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

  const SHORT = { ttlMs: 40, doneTtlMs: 40 }
  /** For what must be seen alive first, on a busy machine too. */
  const LONGER = { ttlMs: 400, doneTtlMs: 400 }

  async function dueIds(id: SessionId): Promise<SessionId[]> {
    return (await b.store.look(partitionOf(id), 0, 10)).due.map((due) => due.id)
  }

  describe('a session past its time', () => {
    it('leaves its id to a new life of a greater epoch', async () => {
      const id = sid('again')
      const old = await a.write(a.creation(id, SHORT))
      await rig.pass(60)
      const anew = await b.write(b.creation(id))
      expect(BigInt(anew.epoch)).toBeGreaterThan(BigInt(old.epoch))
      expect(anew.version).toBe(1)
      const rows = await rig.rows(id)
      expect(
        rows.map(({ epoch, version, kind, previous }) => [epoch, version, kind, previous === null]),
      ).toEqual([
        [old.epoch, 1, 'created', true],
        [old.epoch, 2, 'expired', false],
        [anew.epoch, 1, 'created', true],
      ])
      expect(await rig.expiryDue(id)).toBe(anew.expiresAt)
    })

    it('an expiry before its time is refused, and its entry moved to when it is', async () => {
      const id = sid('early')
      const base = await a.write(a.creation(id, { ttlMs: 50_000 }))
      await rig.pass(5)
      const later = await a.write(a.commit(id, base, { ttlMs: 50_000 }))
      // Not at each commit: the entry still says what the creation said.
      expect(await rig.expiryDue(id)).toBe(base.expiresAt)
      expect(await b.run(b.expiry(id))).toEqual({ kind: 'early', dueMs: later.expiresAt })
      expect(await rig.expiryDue(id)).toBe(later.expiresAt)
      expect(await rig.rows(id)).toHaveLength(2)
    })

    it('doneTtlMs null: a session that had a time has none any more', async () => {
      const id = sid('done-for-ever')
      const lifetimes = { ttlMs: 5000, doneTtlMs: null }
      const base = await a.write(a.creation(id, lifetimes))
      expect(await a.write(a.commit(id, base, { ...lifetimes, done: true }))).toMatchObject({
        expiresAt: null,
      })
      expect(await rig.expiryDue(id)).toBeNull()
    })

    it.each(['commit', 'check', 'deletion'] as const)(
      'is ended by a %s, which finds it gone',
      async (kind) => {
        const id = sid(`met-by-${kind}`)
        const base = await a.write(a.creation(id, SHORT))
        await rig.pass(60)
        const entry =
          kind === 'commit' ? b.commit(id, base) : kind === 'check' ? b.check(id, base) : b.deletion(id)
        const position = { epoch: base.epoch, version: 2 }
        const heard = await rig.heard(id, async () => {
          expect(await b.run(entry)).toEqual({ kind: 'gone', reason: 'expired', position })
        })
        expect(heard).toEqual([{ kind: 'ended', id, position, reason: 'expired' }])
        const rows = await rig.rows(id)
        expect(rows.map(({ version, kind }) => [version, kind])).toEqual([
          [1, 'created'],
          [2, 'expired'],
        ])
        expect(rows[1]?.previous).toBe(rows[0]?.commitId)
        expect(JSON.parse(rows[1]?.audit ?? '')).toMatchObject({ machine: 'counter', machineVersion: 1 })
        expect(await rig.expiryDue(id)).toBeNull()
        expect(await b.run(b.check(id, base))).toMatchObject({ kind: 'gone', reason: 'expired' })
        expect(await rig.rows(id)).toHaveLength(2)
      },
    )

    it('is due for the sweep, which ends it with a row and a notice, once', async () => {
      const id = sid('swept')
      const base = await a.write(a.creation(id, LONGER))
      expect(await dueIds(id)).not.toContain(id)
      await rig.pass(420)
      expect(await dueIds(id)).toContain(id)
      const heard = await rig.heard(id, async () => {
        const outcomes = await Promise.all([a.run(a.expiry(id)), b.run(b.expiry(id)), a.run(a.expiry(id))])
        expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['committed', 'gone', 'gone'])
      })
      expect(heard).toHaveLength(1)
      expect((await rig.rows(id)).map(({ version, kind, epoch }) => [version, kind, epoch])).toEqual([
        [1, 'created', base.epoch],
        [2, 'expired', base.epoch],
      ])
      expect(await dueIds(id)).not.toContain(id)
    })
  })
})
