import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StoreOutcome } from '../../actors/ports.ts'
import type { Position, SessionId } from '../../actors/session.ts'
import type { AuditedTransition } from '../../persistence/memory-server.ts'
import { key, transition, Writer } from '../persistence/store-support.ts'
import { sid } from '../support/hosts.ts'
import { stores } from './store-rig.ts'
import type { StoreRig } from './store-rig.ts'

/** Rows of one session: per epoch versions 1, 2, 3, … each naming the commit before. */
function expectChained(rows: readonly AuditedTransition[]): void {
  const previous = new Map<string, AuditedTransition>()
  for (const row of rows) {
    const before = previous.get(row.epoch)
    expect(row.version).toBe((before?.version ?? 0) + 1)
    // Transitions of one commit share its id and name the commit before it.
    if (row.commitId === before?.commitId) expect(row.previous).toBe(before.previous)
    else expect(row.previous).toBe(before?.commitId ?? null)
    previous.set(row.epoch, row)
  }
  const epochs = [...previous.keys()].map(Number)
  expect(epochs).toEqual([...epochs].sort((x, y) => x - y))
}

type Step = 'create' | 'commit' | 'commit many' | 'delete' | 'check'
interface Acknowledged {
  readonly commitId: string
  readonly epoch: string
  readonly versions: readonly number[]
}

/** One process that writes as it likes, and takes over whatever it is told. */
async function write(writer: Writer, id: SessionId, steps: readonly Step[]): Promise<Acknowledged[]> {
  let base: Position | null = null
  const acknowledged: Acknowledged[] = []
  const learn = (outcome: StoreOutcome, commitId: string): void => {
    if (outcome.kind === 'committed') {
      const count = outcome.version - outcome.firstVersion + 1
      const versions = Array.from({ length: count }, (_, n) => outcome.firstVersion + n)
      acknowledged.push({ commitId, epoch: outcome.epoch, versions })
    }
    base =
      outcome.kind === 'committed'
        ? outcome
        : outcome.kind === 'stale'
          ? outcome.record
          : outcome.kind === 'gone'
            ? null
            : base
  }
  for (const step of steps) {
    const at: Position = base ?? { epoch: '1', version: 1 }
    const entry =
      step === 'create'
        ? writer.creation(id)
        : step === 'delete'
          ? writer.deletion(id)
          : step === 'check'
            ? writer.check(id, base)
            : writer.commit(id, at, {
                transitions: (step === 'commit' ? [1] : [1, 2, 3]).map((n) => transition(at.version + n)),
              })
    const outcome = await writer.run(entry)
    learn(outcome, `${writer.store.node}-${entry.kind === 'check' ? 0 : entry.number}`)
    if (step === 'delete') base = null
  }
  return acknowledged
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Step>('commit') },
  { weight: 3, arbitrary: fc.constant<Step>('commit many') },
  { weight: 2, arbitrary: fc.constant<Step>('create') },
  { weight: 2, arbitrary: fc.constant<Step>('check') },
  { weight: 1, arbitrary: fc.constant<Step>('delete') },
)
const steps = fc.array(step, { minLength: 10, maxLength: 40 })

describe.each(stores)('in %s', (_name, create) => {
  let rig: StoreRig
  let a: Writer
  let b: Writer
  let c: Writer

  beforeAll(async () => {
    rig = create()
    ;[a, b, c] = (await Promise.all([rig.store(), rig.store(), rig.store()])).map(
      (store) => new Writer(store),
    ) as [Writer, Writer, Writer]
  })
  afterAll(() => rig.close())

  describe('CM2 versions are consecutive', () => {
    it('CM2 whatever three processes do at once: each epoch is 1…n, chained, and all that was acknowledged', async () => {
      let run = 0
      await fc.assert(
        fc.asyncProperty(steps, steps, steps, async (...ofEach) => {
          const id = sid(`mix-${run++}`)
          await a.run(a.creation(id))
          const told = await Promise.all([a, b, c].map((writer, n) => write(writer, id, ofEach[n] ?? [])))
          const rows = await rig.rows(id)
          expectChained(rows)
          const kept = new Set(rows.map(({ commitId, epoch, version }) => `${commitId} ${epoch} ${version}`))
          for (const { commitId, epoch, versions } of told.flat())
            for (const version of versions) expect(kept).toContain(`${commitId} ${epoch} ${version}`)
          expect(kept.size).toBe(told.flat().reduce((sum, { versions }) => sum + versions.length, 1))
        }),
        { numRuns: 15 },
      )
    })

    it('CM2 of two that write over the same version one wins', async () => {
      const id = sid('race')
      const base = await a.write(a.creation(id))
      const outcomes = await Promise.all([
        a.run(a.commit(id, base)),
        b.run(b.commit(id, base)),
        c.run(c.commit(id, base)),
      ])
      expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['committed', 'stale', 'stale'])
      const stale = outcomes.find((outcome) => outcome.kind === 'stale')
      expect(stale?.record).toMatchObject({ version: 2 })
      expect(await b.store.read(id)).toEqual(stale?.record)
    })

    it('CM2 a position of another epoch is not the same version', async () => {
      const id = sid('epochs')
      const first = await a.write(a.creation(id))
      await a.write(a.deletion(id))
      const second = await b.write(b.creation(id))
      expect(BigInt(second.epoch)).toBeGreaterThan(BigInt(first.epoch))
      expect(await a.run(a.commit(id, first))).toMatchObject({
        kind: 'stale',
        record: { epoch: second.epoch },
      })
      expect(await a.run(a.check(id, first))).toMatchObject({ kind: 'stale' })
      expect(await a.run(a.commit(id, second))).toMatchObject({ kind: 'committed', version: 2 })
    })
  })

  describe('CM3 what is not committed changes nothing', () => {
    it('CM3 stale', async () => {
      const id = sid('stale')
      const base = await a.write(a.creation(id))
      await a.write(a.commit(id, base))
      const before = await rig.state(id)
      expect(await b.run(b.commit(id, base))).toMatchObject({ kind: 'stale' })
      expect(await b.run(b.commit(id, { ...base, version: 9 }))).toMatchObject({ kind: 'stale' })
      expect(await b.run(b.check(id, base))).toMatchObject({ kind: 'stale' })
      expect(await rig.state(id)).toEqual(before)
    })

    it('CM3 gone: a commit, check or deletion makes no session', async () => {
      const id = sid('gone')
      const nothing = await rig.state(id)
      for (const entry of [
        b.commit(id, { epoch: '1', version: 1 }),
        b.check(id, null),
        b.deletion(id),
        b.expiry(id),
      ])
        expect(await b.run(entry)).toEqual({ kind: 'gone', reason: null, position: null })
      expect(await rig.state(id)).toEqual(nothing)

      const base = await a.write(a.creation(id))
      await a.write(a.deletion(id))
      const before = await rig.state(id)
      const position = { epoch: base.epoch, version: 2 }
      for (const entry of [b.commit(id, base), b.check(id, base), b.deletion(id), b.expiry(id)])
        expect(await b.run(entry)).toEqual({ kind: 'gone', reason: 'deleted', position })
      expect(await rig.state(id)).toEqual(before)
    })

    it('CM3 known', async () => {
      const id = sid('known')
      const k = key('k')
      const base = await a.write(a.creation(id))
      const made = await a.write(a.commit(id, base, { keys: [k], transitions: [transition(2, k)] }))
      const before = await rig.state(id)
      expect(await b.run(b.commit(id, made, { keys: [k], transitions: [transition(3, k)] }))).toMatchObject({
        kind: 'known',
      })
      expect(await rig.state(id)).toEqual(before)
    })

    it('CM3 fenced: an older version of the definition never overwrites a newer one’s', async () => {
      const id = sid('fenced')
      const base = await a.write(a.creation(id, { machineVersion: 3 }))
      const before = await rig.state(id)
      expect(await b.run(b.commit(id, base, { machineVersion: 2 }))).toEqual({
        kind: 'fenced',
        machineVersion: 3,
      })
      expect(await rig.state(id)).toEqual(before)
      expect(await b.run(b.commit(id, base, { machineVersion: 3 }))).toMatchObject({ kind: 'committed' })
    })

    it('CM3 wait: a reserved turn keeps others out for a moment and changes nothing else', async () => {
      const id = sid('reserved')
      const base = await a.write(a.creation(id))
      const current = await a.write(a.commit(id, base))
      const before = await rig.state(id)
      // Redis may take longer than the moment: then it is reserved again.
      let kept: StoreOutcome
      do {
        expect(await b.run({ ...b.commit(id, base), reserve: true })).toMatchObject({ kind: 'stale' })
        expect(await rig.state(id)).toEqual(before)
        kept = await c.run(c.commit(id, { ...current, version: 1 }))
      } while (kept.kind !== 'wait')
      expect(kept.ms).toBeGreaterThan(0)
      expect(kept.ms).toBeLessThanOrEqual(20)
      expect(await rig.state(id)).toEqual(before)
      // Its holder has the turn, and it is over with the commit.
      expect(await b.run(b.commit(id, current))).toMatchObject({ kind: 'committed', version: 3 })
      expect(await a.run(a.commit(id, { ...current, version: 3 }))).toMatchObject({ kind: 'committed' })
    })

    it('CM3 a reservation that its holder forgot ends by itself', async () => {
      const id = sid('forgotten')
      const base = await a.write(a.creation(id))
      const current = await a.write(a.commit(id, base))
      expect(await b.run({ ...b.commit(id, base), reserve: true })).toMatchObject({ kind: 'stale' })
      await rig.pass(25)
      expect(await a.run(a.commit(id, current))).toMatchObject({ kind: 'committed', version: 3 })
    })
  })
})
