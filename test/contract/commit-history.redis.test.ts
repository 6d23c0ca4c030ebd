/** The last commits of a session, kept for who comes back. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Position, SessionId } from '../../actors/session.ts'
import { stateOf, transition, Writer } from '../persistence/store-support.ts'
import { sid } from '../support/hosts.ts'
import { stores } from './store-rig.ts'
import type { StoreRig } from './store-rig.ts'

describe.each(stores)('in %s', (_name, create) => {
  let rig: StoreRig
  let a: Writer

  beforeAll(async () => {
    rig = create()
    a = new Writer(await rig.store())
  })
  afterAll(() => rig.close())

  async function written(
    id: SessionId,
    count: number,
    history: number,
    ttlMs = 3_600_000,
  ): Promise<Position> {
    const lifetimes = { ttlMs, doneTtlMs: ttlMs }
    let at: Position = await a.write(a.creation(id, { history, ...lifetimes }))
    for (let n = 0; n < count; n++) at = await a.write(a.commit(id, at, { history, ...lifetimes }))
    return at
  }

  const versions = async (id: SessionId, count = 100): Promise<[from: number, to: number][]> =>
    (await a.store.history(id, count)).map(({ baseVersion, record }) => [baseVersion, record.version])

  it('as many as the definition keeps, each as it was published', async () => {
    const id = sid('kept')
    const at = await written(id, 3, 3)
    const [published] = await rig.heard(id, () =>
      a.write(
        a.commit(id, at, {
          history: 3,
          transitions: [transition(5), transition(6)],
          events: '["A","B"]',
          emitted: [{ transition: 1, event: '{"type":"second"}' }],
        }),
      ),
    )
    expect(await versions(id)).toEqual([
      [2, 3],
      [3, 4],
      [4, 6],
    ])
    expect(await versions(id, 1)).toEqual([[4, 6]])
    const kept = await a.store.history(id, 3)
    expect(kept[2]).toEqual(published)
    expect(kept.map(({ record }) => record.state).at(-1)).toBe(stateOf(6))
  })

  it('none where it keeps none', async () => {
    const id = sid('none')
    await written(id, 2, 0)
    expect(await versions(id)).toEqual([])
  })

  it('nothing is left of it after the end, nor in the next life', async () => {
    const id = sid('lives')
    await written(id, 2, 5)
    await a.write(a.deletion(id))
    expect(await versions(id)).toEqual([])
    await written(id, 1, 5)
    expect(await versions(id)).toEqual([
      [0, 1],
      [1, 2],
    ])
  })

  it('a commit that is not made leaves it as it is', async () => {
    const id = sid('stale-history')
    const at = await written(id, 1, 5)
    const before = await a.store.history(id, 5)
    const b = new Writer(await rig.store())
    expect(await b.run(b.commit(id, { ...at, version: 1 }, { history: 5 }))).toMatchObject({ kind: 'stale' })
    expect(await a.store.history(id, 5)).toEqual(before)
  })

  it('is gone with a session that expires', async () => {
    const id = sid('short')
    await written(id, 1, 5, 30)
    await rig.pass(40)
    await a.run(a.expiry(id))
    expect(await versions(id)).toEqual([])
  })
})
