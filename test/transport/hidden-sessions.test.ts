/** A process whose subscribers follow a session into a definition that it does not serve, and whose rule it so does not know. */
import { beforeEach, describe, expect, it } from 'vitest'
import { TroupeError } from '../../actors/errors.ts'
import type { SessionRecord } from '../../actors/session.ts'
import { MemoryPresence } from '../../persistence/memory-presence.ts'
import { FanOut, type JoinOptions } from '../../transport/feed/fan-out.ts'
import type { Notification, Subscriber } from '../../transport/feed/subscriber.ts'
import { ManualClock, settled } from './support/manual-clock.ts'
import { HandFeed, KeptLog, encodeView, makeRecord, makeUpdate, sessionId } from './support/parts.ts'

const ID = sessionId('a')
/** Versions of the session that are of the definition that is not served here. */
let unknown: number[]
let stored: SessionRecord
let feed: HandFeed
let fanOut: FanOut
let clock: ManualClock

class Ear implements Subscriber {
  readonly principal = null
  readonly watches?: 'subscribe'
  readonly clientId?: string
  readonly heard: Notification[] = []
  readonly errors: unknown[] = []
  constructor(isClient = true, clientId?: string) {
    if (isClient) this.watches = 'subscribe'
    if (clientId !== undefined) this.clientId = clientId
  }
  deliver(notification: Notification): void {
    this.heard.push(notification)
  }
  undeliverable(error: unknown): void {
    this.errors.push(error)
  }
  get kinds(): string[] {
    return this.heard.map(({ kind }) => kind)
  }
}

beforeEach(() => {
  unknown = []
  stored = makeRecord('a', 1)
  feed = new HandFeed()
  clock = new ManualClock()
  const presence = new MemoryPresence(
    () => 1_700_000_000_000 + clock.now(),
    (change) => feed.onMessage(change),
  )
  fanOut = new FanOut({
    feed,
    node: 'here',
    clock,
    logger: new KeptLog(),
    encodeView,
    viewGroup: () => '',
    screen: ({ version }) => {
      if (unknown.includes(version)) throw new TroupeError('unknown_machine_version', 'not served here')
      return null
    },
    read: async () => stored,
    history: async () => [],
    positions: async () => [],
    presence: {
      tell: async (_, entries) => presence.tell('here', entries),
      memberOf: () => (client) => JSON.stringify({ client, principal: null }),
    },
  })
  fanOut.start()
})

function join(ear: Subscriber, options?: JoinOptions): Promise<unknown> {
  return new Promise((resolve) => fanOut.join(ID, ear, resolve, resolve, options))
}

function commit(version: number): void {
  stored = makeRecord('a', version)
  feed.onMessage(makeUpdate(stored, 'there'))
}

const say = (): void => feed.onMessage({ kind: 'message', id: ID, message: '"hello"' })

describe('a session of a definition that is not served here', () => {
  it('TR2 shows its subscribers nothing: no view, no emitted event, no message', async () => {
    const [client, own] = [new Ear(), new Ear(false)]
    await Promise.all([join(client), join(own)])
    unknown = [2, 3]
    commit(2)
    say()
    commit(3)
    expect(client.heard).toEqual([])
    expect(client.errors).toMatchObject([{ code: 'unknown_machine_version' }, {}])
    expect(own.kinds).toEqual(['emitted', 'updated', 'message', 'emitted', 'updated'])
  })

  it('TR2 cannot be subscribed to, also by who says to hold the newest view', async () => {
    unknown = [1]
    expect(await join(new Ear())).toMatchObject({ code: 'unknown_machine_version' })
    expect(fanOut.size).toBe(1)
    commit(2)
    await settled()
  })

  it('tells that something was missed once it can be shown again, and its end in any case', async () => {
    const client = new Ear()
    await join(client)
    unknown = [2]
    commit(2)
    commit(3)
    expect(client.kinds).toEqual(['gap', 'emitted', 'updated'])
    unknown = [4]
    commit(4)
    feed.onMessage({ kind: 'ended', id: ID, position: { epoch: '1000', version: 5 }, reason: 'deleted' })
    expect(client.kinds.slice(3)).toEqual(['ended'])
  })

  it('TR2 shows nobody who else is subscribed, and says so once it can be shown again', async () => {
    const [client, other] = [new Ear(true, 'ann'), new Ear(true, 'bob')]
    const joined = join(client, { presence: true })
    await clock.pass(100)
    await joined
    await join(other)
    await clock.pass(100)
    expect(client.kinds).toEqual(['presence'])
    unknown = [2]
    commit(2)
    fanOut.leave(ID, other)
    await clock.pass(100)
    expect(client.kinds).toEqual(['presence'])
    commit(3)
    expect(client.kinds).toEqual(['presence', 'gap', 'emitted', 'updated'])
    const text = client.heard[1]?.frame.eventBytes((frame) => Buffer.from(frame)).toString() ?? ''
    expect(JSON.parse(text)).toMatchObject({ params: { id: ID, presence: true } })
  })

  it('hides nothing of its next life', async () => {
    const client = new Ear()
    await join(client)
    unknown = [2]
    commit(2)
    feed.onMessage({ kind: 'ended', id: ID, position: { epoch: '1000', version: 3 }, reason: 'deleted' })
    stored = makeRecord('a', 1, '2000')
    const next = new Ear()
    await join(next)
    say()
    expect(next.kinds).toEqual(['message'])
  })
})
