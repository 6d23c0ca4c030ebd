import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { FeedMessage } from '../../actors/feed-message.ts'
import { partitionOf } from '../../actors/partitions.ts'
import type { SessionStore } from '../../actors/ports.ts'
import type { PresenceAnswer, PresenceEntry } from '../../actors/presence.ts'
import type { SessionId } from '../../actors/session.ts'
import { sid } from '../support/hosts.ts'
import { stores } from './store-rig.ts'
import type { StoreRig } from './store-rig.ts'

const member = (client: string): string => JSON.stringify({ client, principal: `of "${client}"\n` })

const members = (...clients: string[]): Map<string, string> =>
  new Map(clients.map((client) => [client, member(client)]))

async function tell(
  store: SessionStore,
  id: SessionId,
  entry: Partial<PresenceEntry>,
): Promise<PresenceAnswer> {
  const whole = { id, joined: members(), left: [], isWhole: false, count: 0, wantsRoster: false, ...entry }
  const [answer] = await store.tellPresence(partitionOf(id), [whole])
  return answer as PresenceAnswer
}

async function rosterOf(store: SessionStore, id: SessionId, count: number): Promise<string[]> {
  const { roster } = await tell(store, id, { count, wantsRoster: true })
  return roster.map((text) => (JSON.parse(text) as { client: string }).client).sort()
}

function changes(heard: (FeedMessage | null)[]): unknown[] {
  return heard.map((message) =>
    message?.kind === 'presence'
      ? [
          (JSON.parse(message.joined) as { client: string }[]).map(({ client }) => client),
          (JSON.parse(message.left) as string[]).toSorted(),
        ]
      : message,
  )
}

describe.each(stores)('PR1 presence in %s', (_, create) => {
  let rig: StoreRig
  let a: SessionStore
  let b: SessionStore
  beforeAll(async () => {
    rig = create()
    a = await rig.store()
    b = await rig.store()
  })
  afterAll(() => rig.close())

  it('each change has the next number and one message, and the list is of all processes', async () => {
    const id = sid('room')
    const answers: PresenceAnswer[] = []
    const heard = await rig.heard(id, async () => {
      answers.push(await tell(a, id, { joined: members('a1', 'a2'), count: 2 }))
      answers.push(await tell(b, id, { joined: members('b1'), count: 1 }))
      answers.push(await tell(a, id, { joined: members('a3'), left: ['a1'], count: 2 }))
    })
    const [first = 0, ...later] = answers.map(({ number }) => number)
    expect(first).toBeGreaterThan(1e15)
    expect(later).toEqual([first + 1, first + 2])
    expect(heard.map((message) => message?.kind === 'presence' && message.number)).toEqual([first, ...later])
    expect(changes(heard)).toEqual([
      [['a1', 'a2'], []],
      [['b1'], []],
      [['a3'], ['a1']],
    ])
    expect(answers.every(({ isComplete }) => isComplete)).toBe(true)
    expect(await rosterOf(b, id, 1)).toEqual(['a2', 'a3', 'b1'])
    const { roster } = await tell(b, id, { count: 1, wantsRoster: true })
    expect(roster).toEqual(expect.arrayContaining([member('a2'), member('b1')]))
  })

  it('told again it changes nothing, and nothing is published', async () => {
    const id = sid('again')
    const change = { joined: members('x', 'y'), count: 2 }
    const { number } = await tell(a, id, change)
    await tell(a, id, { left: ['y'], count: 1 })
    const heard = await rig.heard(id, async () => {
      expect(await tell(a, id, { joined: members('x'), count: 1 })).toMatchObject({ number: number + 1 })
      expect(await tell(a, id, { left: ['y', 'z'], count: 1 })).toMatchObject({ number: number + 1 })
    })
    expect(heard).toEqual([])
  })

  it('the last to leave takes the list along, and its number still goes on', async () => {
    const id = sid('empty')
    const { number } = await tell(a, id, { joined: members('x'), count: 1 })
    expect(await tell(a, id, { left: ['x'], count: 0 })).toMatchObject({ number: number + 1 })
    expect(await tell(a, id, { wantsRoster: true })).toEqual({ number: 0, isComplete: true, roster: [] })
    const again = await tell(a, id, { joined: members('x'), count: 1 })
    expect(again.number).toBeGreaterThan(number + 1)
  })

  it('a process that is held to have other members than it has tells them as a whole', async () => {
    const id = sid('astray')
    // Its list is gone, as after a loss of data.
    expect(await tell(a, id, { count: 2 })).toMatchObject({ isComplete: false })
    await tell(a, id, { joined: members('old', 'stays'), count: 2 })
    await tell(b, id, { joined: members('other'), count: 1 })
    expect(await tell(a, id, { count: 3 })).toMatchObject({ isComplete: false })
    const heard = await rig.heard(id, async () => {
      const whole = { joined: members('stays', 'new'), isWhole: true, count: 2 }
      expect(await tell(a, id, whole)).toMatchObject({ isComplete: true })
    })
    expect(changes(heard)).toEqual([[['new'], ['old']]])
    expect(await rosterOf(b, id, 1)).toEqual(['new', 'other', 'stays'])
  })

  it('PR2 who does not renew a lease is removed by the others; after an outage all get time to renew', async () => {
    const [crashed, outage] = [sid('crashed'), sid('outage')]
    const c = await rig.store()
    for (const id of [crashed, outage]) {
      await tell(a, id, { joined: members('a1', 'a2'), count: 2 })
      await tell(b, id, { joined: members('b1'), count: 1 })
      await tell(c, id, { joined: members('c1'), count: 1 })
    }
    await rig.pass(6000)
    await tell(b, crashed, { count: 1 })
    expect(await rosterOf(b, crashed, 1)).toEqual(['a1', 'a2', 'b1', 'c1'])
    await rig.pass(4500)
    const heard = await rig.heard(crashed, () => tell(b, crashed, { count: 1 }))
    expect(changes(heard)).toEqual([[[], ['a1', 'a2', 'c1']]])
    expect(await rosterOf(b, crashed, 1)).toEqual(['b1'])
    // Who only paused is told that its members are not there.
    expect(await tell(a, crashed, { count: 2 })).toMatchObject({ isComplete: false })
    // There nobody has renewed: nobody judges others.
    expect(await rosterOf(b, outage, 1)).toEqual(['a1', 'a2', 'b1', 'c1'])
    await rig.pass(2500)
    await tell(a, outage, { count: 2 })
    expect(await rosterOf(b, outage, 1)).toEqual(['a1', 'a2', 'b1', 'c1'])
    await rig.pass(2600)
    expect(await rosterOf(b, outage, 1)).toEqual(['a1', 'a2', 'b1'])
  })
})
