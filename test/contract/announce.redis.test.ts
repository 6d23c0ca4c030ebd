import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { stores } from './store-rig.ts'
import type { StoreRig } from './store-rig.ts'

describe.each(stores)('what processes tell each other over %s', (_, create) => {
  let rig: StoreRig
  beforeAll(() => {
    rig = create()
  })
  afterAll(() => rig.close())

  it('MG2 each hears what the others serve, until they say that they leave', async () => {
    const [a, b, c] = [await rig.store(), await rig.store(), await rig.store()]
    expect(await a.announce({ order: [1] })).toEqual([])
    expect(await b.announce({ order: [1, 2], 'an "other"\n': [7] })).toEqual([{ order: [1] }])
    const heard = await c.announce({})
    expect(heard).toHaveLength(2)
    expect(heard).toEqual(expect.arrayContaining([{ order: [1] }, { order: [1, 2], 'an "other"\n': [7] }]))
    expect(await a.announce(null)).toHaveLength(2)
    expect(await b.announce({ order: [3] })).toEqual([{}])
    expect(await a.announce(null)).toEqual(expect.arrayContaining([{ order: [3] }, {}]))
  })
})
