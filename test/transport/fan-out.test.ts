import { describe, expect, it } from 'vitest'
import type { Principal } from '../../actors/ports.ts'
import type { SessionRecord } from '../../actors/session.ts'
import type { Notification, Subscriber } from '../../transport/feed/subscriber.ts'
import { ID, World } from './support/fan-out-world.ts'
import { settled } from './support/manual-clock.ts'
import { makeRecord, makeUpdate, sessionId } from './support/parts.ts'

class Ear implements Subscriber {
  readonly principal: Principal | null
  readonly heard: Notification[] = []
  constructor(principal: Principal | null = null) {
    this.principal = principal
  }
  deliver(notification: Notification): void {
    this.heard.push(notification)
  }
  undeliverable(error: unknown): void {
    throw error
  }
  get story(): string[] {
    return this.heard.map((notification) => {
      switch (notification.kind) {
        case 'updated':
          return `v${notification.record.version}`
        case 'emitted':
          return `e${notification.version}`
        case 'message':
          return notification.message
        case 'ended':
          return notification.reason
        case 'gap':
        case 'presence':
          return notification.kind
      }
    })
  }
}

const nobody: ReadonlySet<object> = new Set()

describe('subscribing', () => {
  it('waits for the feed, then reads, and takes the newer of read and message', async () => {
    const world = new World()
    world.put(makeRecord('a', 1))
    const ear = new Ear()
    const joined = world.join(ear)
    await settled()
    world.feed.onMessage(makeUpdate(makeRecord('a', 2), 'there'))
    expect((await joined)?.version).toBe(2)
    world.feed.onMessage(makeUpdate(makeRecord('a', 2), 'there'))
    world.feed.onMessage(makeUpdate(makeRecord('a', 3), 'there'))
    expect(ear.story).toEqual(['e3', 'v3'])
    expect(world.feed.log).toEqual(['+a'])
  })

  it('does not subscribe to what does not exist, or has ended while joining', async () => {
    const world = new World()
    const ear = new Ear()
    expect(await world.join(ear)).toBeNull()
    world.put(makeRecord('a', 3))
    const joined = world.join(ear)
    await settled()
    world.feed.onMessage({
      kind: 'ended',
      id: ID,
      position: { epoch: '1000', version: 4 },
      reason: 'deleted',
    })
    expect(await joined).toBeNull()
    await world.clock.pass(1000)
    expect(world.fanOut.size).toBe(0)
    expect(world.feed.log).toEqual(['+a', '-a'])
  })

  it('keeps one record for all who were given the same', async () => {
    const world = new World()
    const ears = [new Ear(), new Ear()] as const
    world.put(makeRecord('a', 1))
    const first = await world.join(ears[0])
    const again = world.put(makeRecord('a', 1))
    expect(await world.join(ears[1])).toBe(first)
    expect(world.fanOut.settle(ears[0], again)).toBe(first)
  })

  it('FD1 what a newcomer reads reaches the others soon, though its message was lost', async () => {
    const world = new World()
    world.put(makeRecord('a', 1))
    const [first, second] = [new Ear(), new Ear()]
    await world.join(first)
    world.put(makeRecord('a', 2))
    await world.join(second)
    await world.clock.pass(60)
    expect(first.story).toEqual(['gap', 'v2'])
    expect(second.story).toEqual([])
  })

  it('says when the feed cannot be subscribed, and tries anew for the next', async () => {
    const world = new World()
    world.put(makeRecord('a', 1))
    world.feed.failure = new Error('no feed')
    await expect(world.join(new Ear())).rejects.toThrow('no feed')
    world.feed.failure = null
    expect((await world.join(new Ear()))?.version).toBe(1)
  })

  it('leaves the channel a while after the last subscriber did', async () => {
    const world = new World()
    world.put(makeRecord('a', 1))
    const [first, second] = [new Ear(), new Ear()]
    await world.join(first)
    await world.join(second)
    world.fanOut.leave(ID, first)
    await world.clock.pass(2000)
    world.fanOut.leave(ID, second)
    await world.clock.pass(900)
    await world.join(first)
    await world.clock.pass(2000)
    expect(world.feed.log).toEqual(['+a'])
    world.fanOut.leave(ID, first)
    await world.clock.pass(2000)
    expect(world.feed.log).toEqual(['+a', '-a'])
    expect(world.fanOut.size).toBe(0)
  })
})

describe('order', () => {
  const start = async (): Promise<{ world: World; ear: Ear }> => {
    const world = new World()
    world.put(makeRecord('a', 1))
    const ear = new Ear()
    await world.join(ear)
    return { world, ear }
  }

  it('tells emitted events before the view, and the origin by its reply alone', async () => {
    const { world, ear } = await start()
    const origin = new Ear()
    await world.join(origin)
    const news = makeUpdate(makeRecord('a', 3), 'here', 1)
    world.fanOut.publish(news, new Set([origin]))
    world.feed.onMessage(news)
    await world.clock.pass(200)
    expect(ear.story).toEqual(['e2', 'e3', 'v3'])
    expect(origin.story).toEqual(['e2', 'e3'])
  })

  it('FD2 does not tell the origin when the feed is faster than the commit', async () => {
    const { world } = await start()
    const origin = new Ear()
    await world.join(origin)
    const news = makeUpdate(makeRecord('a', 2), 'here')
    world.feed.onMessage(news)
    await world.clock.pass(20)
    world.fanOut.publish(news, new Set([origin]))
    await world.clock.pass(200)
    expect(origin.story).toEqual(['e2'])
  })

  it('believes the feed if this process does not tell of its own commit', async () => {
    const { world, ear } = await start()
    world.feed.onMessage(makeUpdate(world.put(makeRecord('a', 2)), 'here'))
    await world.clock.pass(200)
    expect(ear.story).toEqual(['e2', 'v2'])
  })

  it('waits a moment for what is missing', async () => {
    const { world, ear } = await start()
    world.feed.onMessage(makeUpdate(makeRecord('a', 4), 'there'))
    world.feed.onMessage(makeUpdate(makeRecord('a', 3), 'there'))
    await world.clock.pass(40)
    expect(ear.story).toEqual([])
    world.fanOut.publish(makeUpdate(makeRecord('a', 2), 'here'), nobody)
    expect(ear.story).toEqual(['e2', 'v2', 'e3', 'v3', 'e4', 'v4'])
    await world.clock.pass(500)
    expect(world.reads).toBe(1)
    expect(world.clock.pending).toBe(1)
  })

  it('FD1 reads again when it does not come, and says that events may be missing', async () => {
    const { world, ear } = await start()
    world.feed.onMessage(makeUpdate(makeRecord('a', 3), 'there'))
    world.put(makeRecord('a', 4))
    await world.clock.pass(60)
    expect(ear.story).toEqual(['gap', 'e3', 'v4'])
    world.feed.onMessage(makeUpdate(makeRecord('a', 4), 'there'))
    world.feed.onMessage(makeUpdate(makeRecord('a', 5), 'there'))
    expect(ear.story.slice(3)).toEqual(['e5', 'v5'])
  })

  it('takes a new epoch as it comes', async () => {
    const { world, ear } = await start()
    world.feed.onMessage(makeUpdate(makeRecord('a', 9, '2000'), 'there'))
    world.feed.onMessage(makeUpdate(makeRecord('a', 2, '1000'), 'there'))
    world.feed.onMessage(makeUpdate(makeRecord('a', 10, '2000'), 'there'))
    expect(ear.story).toEqual(['e9', 'v9', 'e10', 'v10'])
    expect(world.reads).toBe(1)
  })

  it('keeps the news from nobody because one subscriber fails', async () => {
    const { world, ear } = await start()
    const broken: Subscriber = {
      principal: null,
      deliver: () => {
        throw new Error('broken')
      },
      undeliverable: () => undefined,
    }
    const late = new Ear()
    await world.join(broken)
    await world.join(late)
    world.feed.onMessage(makeUpdate(makeRecord('a', 2), 'there'))
    expect(ear.story).toEqual(['e2', 'v2'])
    expect(late.story).toEqual(['e2', 'v2'])
    expect(world.log.at('error')).toHaveLength(3)
  })

  it('encodes a frame once for all who see the same', async () => {
    const world = new World((_record, principal) => principal?.id ?? '')
    world.put(makeRecord('a', 1))
    const [ann, bob, ann2, anybody] = [
      new Ear({ id: 'ann' }),
      new Ear({ id: 'bob' }),
      new Ear({ id: 'ann' }),
      new Ear(),
    ]
    for (const ear of [ann, bob, ann2, anybody]) await world.join(ear)
    world.feed.onMessage(makeUpdate(makeRecord('a', 2), 'there'))
    const [a, b, a2, n] = [ann, bob, ann2, anybody].map((ear) => ear.heard.at(-1)?.frame.bytes())
    expect(a).toBe(a2)
    expect(a?.toString()).toContain('"seenBy":"ann"')
    expect(b?.toString()).toContain('"seenBy":"bob"')
    expect(n?.toString()).not.toContain('seenBy')
  })
})

describe('what gets lost', () => {
  it('FD1 a lost last message is found by comparing', async () => {
    const world = new World()
    world.put(makeRecord('a', 1))
    const ear = new Ear()
    await world.join(ear)
    world.put(makeRecord('a', 2))
    await world.clock.pass(10_000)
    expect(ear.story).toEqual(['gap', 'v2'])
  })

  it('FD1 after the feed was interrupted everything is compared at once', async () => {
    const world = new World()
    const ear = new Ear()
    for (const id of ['a', 'b', 'c']) {
      world.put(makeRecord(id, 1))
      await world.join(ear, sessionId(id))
    }
    world.put(makeRecord('b', 4))
    world.feed.onInterrupted()
    await world.clock.pass(100)
    expect(ear.heard.filter((notification) => notification.kind === 'updated')).toMatchObject([
      { id: 'b', record: { version: 4 } },
    ])
  })

  it('a session that is gone is lost, unless the feed tells why', async () => {
    const world = new World()
    const ear = new Ear()
    for (const id of ['a', 'b']) {
      world.put(makeRecord(id, 1))
      await world.join(ear, sessionId(id))
    }
    const expired = { ...makeRecord('c', 1), expiresAt: Date.now() - 5 }
    world.put(expired)
    await world.join(ear, sessionId('c'))
    world.store.clear()
    world.feed.onInterrupted()
    await world.clock.pass(1000)
    world.feed.onMessage({
      kind: 'ended',
      id: ID,
      position: { epoch: '1000', version: 2 },
      reason: 'expired',
    })
    await world.clock.pass(5000)
    const ends = ear.heard.flatMap((notification) =>
      notification.kind === 'ended' ? [[notification.id, notification.reason]] : [],
    )
    expect(ends.sort()).toEqual([
      ['a', 'expired'],
      ['b', 'lost'],
      ['c', 'expired'],
    ])
    expect(world.fanOut.size).toBe(0)
  })

  it('an old end does not end the next life of an id', async () => {
    const world = new World()
    world.put(makeRecord('a', 1, '2000'))
    const ear = new Ear()
    await world.join(ear)
    world.feed.onMessage({
      kind: 'ended',
      id: ID,
      position: { epoch: '1000', version: 9 },
      reason: 'deleted',
    })
    world.feed.onMessage(makeUpdate(makeRecord('a', 2, '2000'), 'there'))
    expect(ear.story).toEqual(['e2', 'v2'])
  })

  it('tries again while the store cannot be read', async () => {
    const world = new World()
    world.put(makeRecord('a', 1))
    const ear = new Ear()
    await world.join(ear)
    const store = world.store
    let failures = 0
    world.store = {
      get: () => {
        failures++
        throw new Error('away')
      },
    } as unknown as Map<string, SessionRecord>
    world.feed.onMessage(makeUpdate(makeRecord('a', 3), 'there'))
    await world.clock.pass(3000)
    expect(failures).toBeGreaterThan(2)
    world.store = store
    world.put(makeRecord('a', 3))
    await world.clock.pass(2500)
    expect(ear.story.at(-1)).toBe('v3')
  })
})

describe('every session', () => {
  it('calls back for updates and ends, whoever made them, and after a fault of another callback', async () => {
    const world = new World()
    const heard: string[] = []
    await world.fanOut.onAny(() => {
      throw new Error('broken')
    })
    const stop = await world.fanOut.onAny((message) => heard.push(`${message.kind} ${message.id}`))
    world.feed.onMessage(makeUpdate(makeRecord('a', 2), 'there'))
    world.feed.onMessage(makeUpdate(makeRecord('b', 2), 'here'))
    world.feed.onMessage({ kind: 'message', id: ID, message: '1' })
    world.feed.onMessage({ kind: 'ended', id: ID, position: { epoch: '1', version: 3 }, reason: 'deleted' })
    stop()
    world.feed.onMessage(makeUpdate(makeRecord('a', 4), 'there'))
    expect(heard).toEqual(['updated a', 'updated b', 'ended a'])
    expect(world.feed.all).toBe(true)
  })
})
