/** What a call of a store does, entry by entry, and what else a process asks of it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { partitionOf } from '../../actors/partitions.ts'
import type { SessionId } from '../../actors/session.ts'
import { stateOf, transition, Writer, key } from '../persistence/store-support.ts'
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

  it('CM1 several transitions make as many rows, one record and one feed message', async () => {
    const id = sid('three')
    const created = await a.write(a.creation(id))
    const heard = await rig.heard(id, () =>
      b.write(
        b.commit(id, created, {
          transitions: [transition(2), transition(3), transition(4)],
          events: '["A","B","C"]',
          emitted: [{ transition: 2, event: '{"type":"third"}' }],
        }),
      ),
    )
    const rows = await rig.rows(id)
    expect(rows.map(({ version, state }) => [version, state])).toEqual(
      [1, 2, 3, 4].map((v) => [v, stateOf(v === 1 ? 0 : v)]),
    )
    expect((await a.store.read(id))?.state).toBe(stateOf(4))
    expect(heard).toHaveLength(1)
    expect(heard[0]).toMatchObject({
      baseVersion: 1,
      events: '["A","B","C"]',
      emitted: [{ version: 4 }],
      record: { version: 4, createdAt: created.createdAt },
    })
  })

  it('what is kept out of the audit is in the record, and not in the rows', async () => {
    const id = sid('redacted')
    const base = await a.write(a.creation(id))
    const sent = [
      transition(2),
      { ...transition(3), auditedState: '{"value":"on"}' },
      {
        ...transition(4),
        auditedState: '{"value":"off"}',
        mail: [{ to: id, event: '{"type":"HI"}', hops: 1 }],
      },
    ]
    const heard = await rig.heard(id, () => a.write(a.commit(id, base, { transitions: sent })))
    expect((await rig.rows(id)).map(({ state }) => state)).toEqual([
      stateOf(0),
      stateOf(2),
      '{"value":"on"}',
      '{"value":"off"}',
    ])
    expect((await a.store.read(id))?.state).toBe(stateOf(4))
    expect(heard).toMatchObject([{ record: { state: stateOf(4) } }])
  })

  it('CM1 what does not commit writes no row, key, timer or message', async () => {
    const id = sid('silent')
    const old = await a.write(a.creation(id))
    await a.write(a.commit(id, old))
    const before = await rig.state(id)
    const k = key('never')
    const heard = await rig.heard(id, async () => {
      const keyed = { keys: [k], transitions: [transition(9, k)] }
      expect(await b.run(b.commit(id, old, keyed))).toMatchObject({ kind: 'stale' })
      expect(await b.run(b.creation(id, keyed))).toMatchObject({ kind: 'stale' })
      expect(await b.run(b.check(id, old, [k]))).toMatchObject({ kind: 'stale' })
    })
    expect(await rig.state(id)).toEqual(before)
    expect(heard).toEqual([])
  })

  it('CM1 the same session twice in a call: the second entry sees what the first one wrote', async () => {
    const id = sid('twice')
    const [first, second] = await a.store.execute([a.creation(id), a.creation(id)])
    expect(first).toMatchObject({ kind: 'committed' })
    expect(second).toMatchObject({ kind: 'stale', record: { version: 1 } })
  })

  it('an entry of every partition in one call', async () => {
    const entries = Array.from({ length: 128 }, (_, n) => a.creation(sid(`wide-${n}`)))
    const outcomes = await a.store.execute(entries)
    expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['committed']))
    const positions = await a.store.positions(entries.map(({ id }) => id))
    expect(positions.every((position) => position?.version === 1)).toBe(true)
  })

  it('state with every kind of character comes back as it went', async () => {
    const id = sid('text')
    const state = JSON.stringify({ context: 'a\nb\u0000\u2028"\\\ud800 ünï 🎉 %s %d', ' 1 2 3': '\r\n' })
    await a.write(
      a.creation(id, {
        transitions: [{ kind: 'created', audit: state, state, key: null, mail: [] }],
        internals: state,
      }),
    )
    expect(await a.store.read(id)).toMatchObject({ state, internals: state })
  })

  it('a broadcast reaches the session’s channel, whether or not the session exists', async () => {
    const id = sid('nobody-home')
    const heard = await rig.heard(id, () => a.store.broadcast(id, '{"hello":1}'))
    expect(heard).toEqual([{ kind: 'message', id, message: '{"hello":1}' }])
  })

  it('positions in the order asked for; those of no session are null', async () => {
    const [one, two, none]: SessionId[] = [sid('p-1'), sid('p-2'), sid('p-3')]
    const first = await a.write(a.creation(one as SessionId))
    await a.write(a.creation(two as SessionId))
    await a.write(a.commit(one as SessionId, first))
    const positions = await a.store.positions([none, two, one] as SessionId[])
    expect(positions.map((position) => position?.version ?? null)).toEqual([null, 1, 2])
  })

  it('a timer fires when it is due by the clock of the server, and not before', async () => {
    const id = sid('timed')
    const made = await a.write(a.creation(id, { timers: ';1:+30;2:+900000', ttlMs: 1000 }))
    expect(made.timers).toBe(`;1:${made.time + 30};2:${made.time + 900_000}`)
    // It does not end before its furthest timer.
    expect(made.expiresAt).toBe(made.time + 900_000)
    const firesAt = made.time + 30
    const fire = () => b.commit(id, made, { timers: `;2:${made.time + 900_000}`, firesAt })
    expect(await b.run({ ...fire(), firesAt: made.time + 900_000 })).toEqual({
      kind: 'early',
      dueMs: made.time + 900_000,
    })
    await rig.pass(31)
    const { due } = await b.store.look(partitionOf(id), 0, 10)
    expect(due).toEqual([{ kind: 'timer', id, dueMs: firesAt }])
    expect(await b.run(fire())).toMatchObject({ kind: 'committed', version: 2 })
    expect((await b.store.look(partitionOf(id), 0, 10)).due).toEqual([])
  })

  it('one process at a time looks after a partition, and leaves it to others when it does no more', async () => {
    const id = sid('looked-after')
    await a.write(a.creation(id, { timers: ';1:+1' }))
    await rig.pass(5)
    const look = (writer: Writer) => writer.store.look(partitionOf(id), 0, 10).then(({ due }) => due.length)
    expect([await look(a), await look(b), await look(a)]).toEqual([1, 0, 1])
    await rig.pass(1600)
    expect([await look(b), await look(a)]).toEqual([1, 0])
  })

  it('leases on promise actors: renewed by their process alone, and gone with the run', async () => {
    const id = sid('leased')
    const [mine, other] = [a.store.node, b.store.node]
    const made = await a.write(a.creation(id, { runs: `;1:${mine};2:${other}` }))
    const partition = partitionOf(id)
    const leases = async () =>
      (await a.store.look(partition, 60_000, 10)).due.flatMap((due) =>
        due.kind === 'lease' ? [[due.node, due.dueMs - made.time] as const] : [],
      )
    expect(new Map(await leases())).toEqual(
      new Map([
        [mine, 15_000],
        [other, 15_000],
      ]),
    )
    await rig.pass(5)
    expect(await b.store.renew(partition, [id, sid('nobody')], 20_000)).toEqual(['nobody'])
    const renewed = new Map(await leases())
    expect(renewed.get(mine)).toBe(15_000)
    expect(renewed.get(other)).toBeGreaterThan(20_000)
    await a.write(a.commit(id, made, { runs: `;1:${mine}` }))
    expect((await leases()).map(([node]) => node)).toEqual([mine])
    expect(await b.store.renew(partition, [id], 20_000)).toEqual([id])
    await b.write(b.deletion(id))
    expect(await leases()).toEqual([])
  })

  it('mail comes in the order in which it was sent, page by page, until exactly it is deleted', async () => {
    const id = sid('sender')
    const partition = partitionOf(id)
    const mail = (n: number) => ({ to: sid('receiver'), event: `{"type":"M","n":${n}}`, hops: 1 })
    const made = await a.write(a.creation(id))
    const sent = [transition(2), transition(3)].map((each, n) => ({
      ...each,
      mail: [mail(2 * n), mail(2 * n + 1)],
    }))
    const entry = a.commit(id, made, { transitions: sent })
    await a.write(entry)
    const first = await b.store.mail(partition, '', 3)
    expect(first.map(({ entryId: _, ...each }) => each)).toEqual(
      [
        [2, 0],
        [2, 1],
        [3, 0],
      ].map(([version, index], n) => ({
        ...mail(n),
        from: id,
        epoch: made.epoch,
        version,
        index,
        commitId: `${a.store.node}-${entry.number}`,
      })),
    )
    const rest = await b.store.mail(partition, first.at(-1)?.entryId ?? '', 10)
    expect(rest.map(({ event }) => event)).toEqual([mail(3).event])
    const [oldest, ...others] = first
    expect(await b.store.hasMail(partition, ['1-1', oldest?.entryId ?? ''])).toEqual([false, true])
    await b.store.deleteMail(
      partition,
      first.map((each) => (each === oldest ? { ...each, commitId: 'x-1' } : each)),
    )
    expect(await b.store.mail(partition, '', 10)).toEqual([oldest, ...rest])
    expect(others).toHaveLength(2)
    await rig.pass(1600)
    expect((await b.store.look(partition, 0, 10)).hasMail).toBe(true)
    await b.store.deleteMail(partition, [...(await b.store.mail(partition, '', 10))])
    expect((await b.store.look(partition, 0, 10)).hasMail).toBe(false)
  })
})
