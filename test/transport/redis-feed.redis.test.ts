import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeBroadcast, type FeedMessage } from '../../actors/feed-message.ts'
import { PARTITIONS, partitionOf, partitionTags } from '../../actors/partitions.ts'
import { StoreFailure } from '../../actors/ports.ts'
import type { SessionId } from '../../actors/session.ts'
import { RedisFeed } from '../../transport/feed/redis-feed.ts'
import { redisUrl } from '../support/servers.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from './support/gateway-rig.ts'
import { KeptLog, realClock, sessionId } from './support/parts.ts'

const tagOf = (id: string): string => partitionTags[partitionOf(id)] ?? ''
const channelOf = (id: SessionId): string => `feedtest:{${tagOf(id)}}:feed:${id}`
const partitionChannels = Array.from(
  { length: PARTITIONS },
  (_, n) => `feedtest:{${partitionTags[n] ?? ''}}:feed`,
)
const ended = (id: string): string => `e${id}\n1\n2\ndeleted`

let publisher: Redis
let proxy: TcpProxy
let client: Redis
let feed: RedisFeed
let heard: FeedMessage[]
let interruptions: number

beforeEach(async () => {
  publisher = new Redis(redisUrl())
  proxy = await TcpProxy.start(redisUrl())
  client = new Redis(proxy.url, { lazyConnect: true })
  feed = new RedisFeed({
    redis: client,
    clock: realClock,
    logger: new KeptLog(),
    channelOf,
    partitionChannels,
    announceListener: async () => undefined,
    pingMs: 150,
  })
  heard = []
  interruptions = 0
  feed.onMessage = (message) => heard.push(message)
  feed.onInterrupted = () => interruptions++
  await feed.start()
})
afterEach(async () => {
  feed.stop()
  client.disconnect()
  publisher.disconnect()
  await proxy.stop()
})

/** Nothing comes through the open connections any more, and nobody is told. */
function silence(): void {
  proxy.apply({ kind: 'blackhole', directions: ['up', 'down'] }, () => true)
}

const [a, b] = [sessionId('a'), sessionId('b')]

/** What a commit does: one message to both channels. */
async function publishBoth(id: SessionId, text: string): Promise<void> {
  await publisher.spublish(channelOf(id), text)
  await publisher.spublish(partitionChannels[partitionOf(id)] ?? '', text)
}

describe('the feed on Redis', () => {
  it('brings messages of subscribed sessions, and only those', async () => {
    await feed.subscribe(a)
    await publishBoth(a, encodeBroadcast(a, '{"n":1}'))
    await publishBoth(b, encodeBroadcast(b, '2'))
    await publisher.spublish(channelOf(a), 'not a message of ours')
    await publisher.spublish(channelOf(a), 'u\nx\n1\n[]\n[]\nnot json\n{}\n{}')
    await publishBoth(a, ended('a'))
    await until(() => heard.length === 2)
    expect(heard).toEqual([
      { kind: 'message', id: 'a', message: '{"n":1}' },
      { kind: 'ended', id: 'a', position: { epoch: '1', version: 2 }, reason: 'deleted' },
    ])
    feed.unsubscribe(a)
    await feed.subscribe(b)
    await publishBoth(a, ended('a'))
    await publishBoth(b, ended('b'))
    await until(() => heard.length === 3)
    expect(heard[2]?.id).toBe('b')
  })

  it('brings everything once when all sessions are wanted', async () => {
    await feed.subscribe(a)
    await feed.subscribeAll()
    await publishBoth(a, ended('a'))
    await publishBoth(b, ended('b'))
    await publisher.spublish(channelOf(a), encodeBroadcast(a, '1'))
    await until(() => heard.length === 3)
    await publishBoth(b, ended('b'))
    await until(() => heard.length === 4)
    expect(heard.map((message) => message.kind + message.id)).toEqual([
      'endeda',
      'endedb',
      'messagea',
      'endedb',
    ])
  })

  it('FD1 subscribes again by itself after its connection was cut, and then tells', async () => {
    for (let n = 0; n < 500; n++) await feed.subscribe(sessionId(`s${n}`))
    feed.unsubscribe(sessionId('s7'))
    await feed.subscribeAll()
    proxy.cut()
    await until(() => interruptions === 1)
    for (let n = 0; n < 500; n++)
      await publisher.spublish(channelOf(sessionId(`s${n}`)), encodeBroadcast(sessionId(`s${n}`), '1'))
    await publishBoth(b, ended('b'))
    await until(() => heard.some((message) => message.id === 'b'))
    expect(heard.filter((message) => message.kind === 'message')).toHaveLength(499)
  })

  it('FD1 notices a peer that has vanished without a word', async () => {
    await feed.subscribe(a)
    silence()
    await until(() => interruptions === 1)
    await publishBoth(a, ended('a'))
    await until(() => heard.length === 1)
  })

  it('says at once when it cannot subscribe, also to those that wait for an answer', async () => {
    silence()
    const waiting = feed.subscribe(a)
    proxy.cut({ refusing: true })
    await expect(waiting).rejects.toBeInstanceOf(StoreFailure)
    await expect(feed.subscribe(b)).rejects.toMatchObject({ effect: 'not-applied' })
    proxy.heal()
    await until(() => interruptions === 1)
    await feed.subscribe(b)
    await publishBoth(a, ended('a'))
    await publishBoth(b, ended('b'))
    await until(() => heard.length === 1)
    expect(heard[0]?.id).toBe('b')
  })
})
