import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Principal } from '../../actors/ports.ts'
import type { FeedMessage } from '../../actors/feed-message.ts'
import type { Position, SessionId, SessionRecord } from '../../actors/session.ts'
import { comparePositions } from '../../actors/session.ts'
import { FanOut } from '../../transport/feed/fan-out.ts'
import type { Notification, Subscriber } from '../../transport/feed/subscriber.ts'
import { ManualClock, settled } from './support/manual-clock.ts'
import { HandFeed, KeptLog, encodeView, makeRecord, makeUpdate, sessionId } from './support/parts.ts'

const ID = sessionId('a')

/** A fan-out over a store, a feed and a clock that are all in the test's hand. */
class World {
  readonly clock = new ManualClock()
  readonly feed = new HandFeed()
  readonly log = new KeptLog()
  store = new Map<string, SessionRecord>()
  reads = 0
  readonly fanOut: FanOut

  constructor(viewGroup: (record: SessionRecord, principal: Principal | null) => string = () => '') {
    this.fanOut = new FanOut({
      feed: this.feed,
      node: 'here',
      clock: this.clock,
      logger: this.log,
      encodeView,
      viewGroup,
      read: async (id) => {
        this.reads++
        await settled()
        return this.store.get(id) ?? null
      },
      history: async () => [],
      positions: async (ids) => ids.map((id): Position | null => this.store.get(id) ?? null),
    })
    this.fanOut.start()
  }

  put(record: SessionRecord): SessionRecord {
    this.store.set(record.id, record)
    return record
  }

  async join(subscriber: Subscriber, id: SessionId = ID): Promise<SessionRecord | null> {
    const joined = new Promise<SessionRecord | null>((resolve, reject) =>
      this.fanOut.join(id, subscriber, resolve, (error) =>
        reject(error instanceof Error ? error : new Error('failed')),
      ),
    )
    void joined.catch(() => undefined)
    await settled()
    await settled()
    return joined
  }
}

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

/** What may happen, in any order: the store goes on, news of it comes late, twice, never, or by the other way. */
type Step =
  | { do: 'commit'; by: 'here' | 'there'; versions: number; answers: number[] }
  | { do: 'deliver'; which: number; keep: boolean }
  | { do: 'lose'; which: number }
  | { do: 'publish' }
  | { do: 'pass'; ms: number }
  | { do: 'join'; who: number }
  | { do: 'leave'; who: number }
  | { do: 'reply'; who: number; stale: boolean }
  | { do: 'epoch' }
  | { do: 'interrupt' }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('commit' as const),
        by: fc.constantFrom('here' as const, 'there' as const),
        versions: fc.integer({ min: 1, max: 3 }),
        answers: fc.uniqueArray(fc.nat(2), { maxLength: 2 }),
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constant('deliver' as const), which: fc.nat(3), keep: fc.boolean() }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const), which: fc.nat(3) }) },
    { weight: 6, arbitrary: fc.constant({ do: 'publish' as const }) },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(0, 1, 30, 60, 300) }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('join' as const), who: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), who: fc.nat(2) }) },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('reply' as const), who: fc.nat(2), stale: fc.boolean() }),
    },
    { weight: 1, arbitrary: fc.constant({ do: 'epoch' as const }) },
    { weight: 1, arbitrary: fc.constant({ do: 'interrupt' as const }) },
  ),
  { minLength: 5, maxLength: 60 },
)

/** A subscriber that checks its own stream: views by notification are strictly newer than anything before. */
class CheckingEar implements Subscriber {
  readonly principal = null
  joined = false
  newest: Position | null = null
  lastEmitted: Position | null = null
  gaps = 0
  undeliverable(error: unknown): void {
    throw error
  }
  deliver(notification: Notification): void {
    expect(this.joined).toBe(true)
    if (notification.kind === 'updated') {
      this.mustBeNewer(notification.record)
      this.newest = notification.record
    } else if (notification.kind === 'emitted') {
      if (this.lastEmitted !== null)
        expect(comparePositions(notification, this.lastEmitted)).toBeGreaterThan(0)
      this.lastEmitted = notification
    } else if (notification.kind === 'gap') {
      this.gaps++
    } else {
      expect.unreachable(`nothing ended, nothing was sent: ${notification.kind}`)
    }
  }
  /** A reply: may repeat what is known, must not go back. */
  replied(record: SessionRecord): void {
    if (this.newest !== null) expect(comparePositions(record, this.newest)).toBeGreaterThanOrEqual(0)
    this.newest = record
  }
  mustBeNewer(position: Position): void {
    if (this.newest !== null) expect(comparePositions(position, this.newest)).toBeGreaterThan(0)
  }
}

async function play(script: readonly Step[]): Promise<void> {
  const world = new World()
  const ears = [new CheckingEar(), new CheckingEar(), new CheckingEar()]
  let current = world.put(makeRecord('a', 1))
  const history = [current]
  const feed: FeedMessage[] = []
  /** Commits of this process whose reply has not come yet, with those that wait for it. */
  const unanswered: { news: ReturnType<typeof makeUpdate>; origins: CheckingEar[] }[] = []

  const publish = (): void => {
    const own = unanswered.shift()
    if (own === undefined) return
    world.fanOut.publish(own.news, new Set(own.origins))
    // A connection leaves a session after its replies of it, or for good.
    for (const ear of own.origins)
      if (ears.includes(ear)) ear.replied(world.fanOut.settle(ear, own.news.record))
  }
  const join = async (ear: CheckingEar): Promise<void> => {
    world.fanOut.join(
      ID,
      ear,
      (record) => {
        if (record === null) throw new Error('the session exists')
        if (!ears.includes(ear)) {
          world.fanOut.leave(ID, ear)
          return
        }
        if (ear.joined) ear.replied(record)
        else ear.newest = ear.lastEmitted = record
        ear.joined = true
      },
      (error) => {
        throw error
      },
    )
    await settled()
  }

  for (const step of script) {
    switch (step.do) {
      case 'commit': {
        const base = current.version
        current = world.put(makeRecord('a', base + step.versions, current.epoch))
        history.push(current)
        const news = makeUpdate(current, step.by, base)
        feed.push(news)
        if (step.by === 'here') {
          const origins = step.answers.map((who) => ears[who] as CheckingEar).filter((ear) => ear.joined)
          unanswered.push({ news, origins })
        }
        break
      }
      case 'deliver': {
        const [message] = feed.splice(step.which % Math.max(1, feed.length), 1)
        if (message === undefined) break
        if (step.keep) feed.push(message)
        world.feed.onMessage(message)
        break
      }
      case 'lose':
        feed.splice(step.which % Math.max(1, feed.length), 1)
        break
      case 'publish':
        publish()
        break
      case 'pass':
        await world.clock.pass(step.ms)
        break
      case 'join':
        await join(ears[step.who] as CheckingEar)
        break
      case 'leave': {
        const ear = ears[step.who] as CheckingEar
        if (!ear.joined) break
        world.fanOut.leave(ID, ear)
        ears[step.who] = new CheckingEar()
        break
      }
      case 'reply': {
        const ear = ears[step.who] as CheckingEar
        const record = step.stale ? (history.at(-2) ?? current) : current
        if (ear.joined) ear.replied(world.fanOut.settle(ear, record))
        break
      }
      case 'epoch':
        current = world.put(makeRecord('a', current.version + 1, String(Number(current.epoch) + 1)))
        history.push(current)
        feed.push(makeUpdate(current, 'there'))
        break
      case 'interrupt':
        feed.length = 0
        world.feed.onInterrupted()
    }
  }
  while (unanswered.length > 0) publish()
  await world.clock.pass(12_000)
  for (const ear of ears) {
    if (!ear.joined) continue
    expect(ear.newest).toMatchObject({ epoch: current.epoch, version: current.version })
  }
  expect(world.log.lines.filter((line) => line.level === 'error')).toEqual([])
  world.fanOut.stop()
  expect(world.clock.pending).toBeLessThanOrEqual(1)
}

describe('any order of anything', () => {
  it('FD1 FD2 every subscriber sees strictly newer positions and ends at the newest', async () => {
    await fc.assert(fc.asyncProperty(steps, play), { numRuns: 3000 })
  }, 120_000)
})
