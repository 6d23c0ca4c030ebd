import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { describe, expect, it } from 'vitest'
import { createClient } from '../../transport/client/index.ts'
import type { Client, ClientNotice } from '../../transport/client/index.ts'
import { databaseUrl, redisUrl } from '../support/servers.ts'
import { until } from '../support/hosts.ts'
import { Cluster } from './cluster.ts'

const CLIENTS = 20

/** A client that asks who is there, and remembers what it was told. */
class Watcher {
  readonly client: Client
  /** The member that it has been, one after the other. */
  readonly selves: string[] = []
  readonly left: { readonly client: string; readonly at: number }[] = []
  list: readonly string[] = []

  constructor(url: string, id: string, backoffMs: number) {
    // Who is cut off stays away long enough to be seen to have left, and comes back to whatever worker.
    const backoff = { minMs: backoffMs, maxMs: backoffMs }
    this.client = createClient({ url, WebSocket, backoff, random: () => 1 })
    this.client.session(id).subscribe((notice) => this.#told(notice), { presence: true })
  }

  #told(notice: ClientNotice<unknown>): void {
    if (notice.kind !== 'presence') return
    for (const { client } of notice.left) this.left.push({ client, at: Date.now() })
    const members = notice.members ?? []
    const self = members.find(({ isSelf }) => isSelf)?.client
    if (self !== undefined && this.selves.at(-1) !== self) this.selves.push(self)
    this.list = members.map(({ client }) => client).sort()
  }

  get self(): string {
    return this.selves.at(-1) ?? ''
  }
}

function agree(watchers: readonly Watcher[]): boolean {
  const truth = watchers.map(({ self }) => self).sort()
  return watchers.every(({ list }) => list.join() === truth.join())
}

describe('a worker that is killed with -9', () => {
  it('PR1 PR2 LC1 the clients of the other see exactly those of it leave within 15 s, and come back', async () => {
    const cluster = await Cluster.start({ redisUrl: redisUrl(), databaseUrl: databaseUrl() })
    const watchers: Watcher[] = []
    try {
      const starter = createClient({ url: cluster.url, WebSocket })
      const input = { subject: 'who is there', customer: 'a' }
      const { id } = await starter.createSession('ticket', { input })
      starter.close()
      for (let n = 0; n < CLIENTS; n++) watchers.push(new Watcher(cluster.url, id, 20_000))
      await until(() => watchers.every(({ list }) => list.length === CLIENTS) && agree(watchers), 20_000)

      const before = new Map(watchers.map((watcher) => [watcher, watcher.self]))
      const killedAt = Date.now()
      expect(cluster.killOne('worker.js')).toBe(true)
      const cutOff = () => watchers.filter(({ client }) => client.status.getSnapshot().state !== 'open')
      await until(() => cutOff().length > 0)
      await sleep(200)
      const lost = new Set(cutOff())
      const others = watchers.filter((watcher) => !lost.has(watcher))
      expect(lost.size).toBeGreaterThan(0)
      expect(others.length).toBeGreaterThan(0)
      const gone = [...lost].map((watcher) => before.get(watcher) ?? '').sort()
      await until(
        () => others.every(({ left }) => left.length >= lost.size),
        15_000 - (Date.now() - killedAt),
      )
      for (const { left } of others) {
        expect(left.map(({ client }) => client).sort()).toEqual(gone)
        expect(Math.max(...left.map(({ at }) => at)) - killedAt).toBeLessThan(15_000)
      }
      console.log(
        `${lost.size} of ${CLIENTS} clients were seen to leave ${Math.max(...others.flatMap(({ left }) => left.map(({ at }) => at))) - killedAt} ms after the kill`,
      )

      await until(() => cutOff().length === 0 && agree(watchers), 30_000)
      for (const watcher of lost) expect(watcher.selves).toHaveLength(2)
      for (const watcher of others) {
        expect(watcher.selves).toHaveLength(1)
        expect(watcher.left).toHaveLength(lost.size)
      }
    } finally {
      for (const { client } of watchers) client.close()
      await cluster.stop()
      await cluster.dropDatabase()
    }
  })
})
