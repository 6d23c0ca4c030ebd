import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FeedMessage } from '../../actors/feed-message.ts'
import type { Position, SessionRecord } from '../../actors/session.ts'
import { comparePositions } from '../../actors/session.ts'
import type { Notification, Subscriber } from '../../transport/feed/subscriber.ts'
import { ID, World } from './support/fan-out-world.ts'
import { settled } from './support/manual-clock.ts'
import { makeRecord, makeUpdate } from './support/parts.ts'

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
