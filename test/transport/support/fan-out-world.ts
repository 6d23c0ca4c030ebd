import type { Principal } from '../../../actors/ports.ts'
import type { Position, SessionId, SessionRecord } from '../../../actors/session.ts'
import { FanOut } from '../../../transport/feed/fan-out.ts'
import type { Subscriber } from '../../../transport/feed/subscriber.ts'
import { ManualClock, settled } from './manual-clock.ts'
import { HandFeed, KeptLog, encodeView, sessionId } from './parts.ts'

export const ID = sessionId('a')

/** A fan-out over a store, a feed and a clock that are all in the test's hand. */
export class World {
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
