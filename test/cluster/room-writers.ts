/** Clients that write to rooms over a bad network, and the check that nothing they were told was untrue. */
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import { expect } from 'vitest'
import { createClient, type Client } from '../../transport/client/index.ts'
import type { Cluster } from './cluster.ts'
import { tokenOf } from './witnesses.ts'

export const ROOMS = ['a', 'b', 'c', 'd']

export async function createRooms(url: string, owners: Readonly<Record<string, string>>): Promise<void> {
  for (const [id, owner] of Object.entries(owners)) {
    const maker = createClient({ url, WebSocket, token: tokenOf(owner) })
    await maker.createSession('room' as never, { id, input: { owner } as never })
    maker.close()
  }
}

/** Sends each frame twice, as one whose first try is thought to be lost. */
class Doubling extends WebSocket {
  override send(data: string): void {
    super.send(data)
    super.send(data)
  }
}

/** Clients of the library: each writes to one room after the other, one request at a time, and listens to all. */
export class RoomWriters {
  readonly clients: Client[]
  readonly acknowledged = new Map<string, { key: string; version: number }[]>(ROOMS.map((id) => [id, []]))
  /** Versions that each listener was told, in order. */
  readonly told: { id: string; versions: number[] }[] = []
  readonly errors: string[] = []
  readonly #loops: Promise<void>[]
  isRunning = true

  constructor(url: string, count: number) {
    this.clients = Array.from({ length: count }, (_, n) =>
      createClient({
        url,
        WebSocket: n === 0 ? Doubling : WebSocket,
        token: tokenOf('ada'),
        delta: n % 2 === 1,
        ...{ connectTimeoutMs: 2000, silenceMs: 2000, probeTimeoutMs: 1500, requestTimeoutMs: 90_000 },
        backoff: { minMs: 50, maxMs: 1000 },
      }),
    )
    for (const client of this.clients)
      for (const id of ROOMS) {
        const versions: number[] = []
        this.told.push({ id, versions })
        client.session(id).subscribe((notice) => {
          if (notice.kind === 'updated') versions.push(notice.session.version)
        })
      }
    this.#loops = this.clients.map((client, by) => this.#write(client, by))
  }

  /** Updates that were acknowledged so far. */
  get count(): number {
    return [...this.acknowledged.values()].reduce((sum, { length }) => sum + length, 0)
  }

  /** Sends nothing new; what was sent is answered, however long that takes. */
  async finish(): Promise<void> {
    this.isRunning = false
    await Promise.all(this.#loops)
  }

  close(): void {
    for (const client of this.clients) client.close()
  }

  async #write(client: Client, by: number): Promise<void> {
    for (let n = 0; this.isRunning; n++) {
      const id = ROOMS[(by + n) % ROOMS.length] as string
      const key = `c${by}-${n}`
      const event = { type: 'NOTE', by: `c${by}`, n }
      const sent = client.updateSession(id, event as never, { key })
      await sent.then(
        ({ applied }) => this.acknowledged.get(id)?.push({ key, version: Number(applied) }),
        (error: unknown) => this.errors.push(`${key}: ${String(error)}`),
      )
      await sleep(5)
    }
  }
}

interface Row {
  readonly version: string
  readonly command_key: string | null
}

/** Each room has the versions 1…n in both stores, and each acknowledged update where it was said to be. */
export async function checkRooms(
  cluster: Cluster,
  writers: RoomWriters,
  newest: Map<string, number>,
): Promise<void> {
  expect(writers.errors).toEqual([])
  for (const id of ROOMS) {
    const acknowledged = writers.acknowledged.get(id) ?? []
    expect(newest.get(id), `version of ${id}`).toBe(acknowledged.length + 1)
    const rows = await cluster.rows<Row>(
      'select version, command_key from troupe_transitions where session_id = $1 order by epoch, version',
      [id],
    )
    expect(rows.map(({ version }) => Number(version))).toEqual(
      Array.from({ length: acknowledged.length + 1 }, (_, n) => n + 1),
    )
    const wrong = acknowledged.filter(({ key, version }) => rows[version - 1]?.command_key !== key)
    expect(wrong).toEqual([])
  }
}

export async function newestOf(url: string): Promise<Map<string, number>> {
  const reader = createClient({ url, WebSocket, token: tokenOf('ada') })
  const views = await Promise.all(ROOMS.map((id) => reader.getSession(id)))
  reader.close()
  return new Map(ROOMS.map((id, n) => [id, views[n]?.version ?? 0]))
}
