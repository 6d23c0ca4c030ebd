/** Clients that write while a cluster is being harmed, and the check that nothing they were told was untrue. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Cluster } from './cluster.ts'
import { ResendingClient } from './resending-client.ts'

interface Acknowledged {
  readonly key: string
  readonly version: number
}

interface Row {
  readonly session_id: string
  readonly version: string
  readonly kind: string
  readonly command_key: string | null
}

export class Writers {
  readonly #sessions: string[] = []
  readonly #clients: ResendingClient[] = []
  readonly #acknowledged = new Map<string, Acknowledged[]>()
  readonly #loops: Promise<void>[] = []
  #isRunning = true

  /** Creates the sessions; then each client writes to one after the other, one request at a time. */
  async start(cluster: Cluster, { clients, sessions }: { clients: number; sessions: number }): Promise<void> {
    for (let index = 0; index < clients; index++) this.#clients.push(new ResendingClient(cluster.url))
    for (let index = 0; index < sessions; index++) {
      const id = `s${index}`
      const reply = await this.#clients[0]?.request('createSession', {
        machine: 'document',
        id,
        key: `create-${index}`,
      })
      expect(reply?.error).toBeUndefined()
      this.#sessions.push(id)
      this.#acknowledged.set(id, [])
    }
    this.#clients.forEach((client, number) => this.#loops.push(this.#write(client, number)))
  }

  get acknowledged(): number {
    return [...this.#acknowledged.values()].reduce((sum, list) => sum + list.length, 0)
  }

  /** How often a client was told that its process leaves. */
  get goAways(): number {
    return this.#clients.flatMap(({ heard }) => heard).filter(({ method }) => method === 'goAway').length
  }

  /** No new requests; those under way are answered, or a client was left hanging. */
  async finish(timeoutMs: number): Promise<void> {
    this.#isRunning = false
    const all = Promise.all(this.#loops).then(() => true)
    const inTime = await Promise.race([all, sleep(timeoutMs, false)])
    const hanging = this.#clients.filter((client) => client.pending > 0).length
    for (const client of this.#clients) client.close()
    expect({ inTime, hanging }).toEqual({ inTime: true, hanging: 0 })
  }

  /** Redis and PostgreSQL hold each session's versions 1…n, and each acknowledged update exactly where it was said. */
  async check(cluster: Cluster): Promise<void> {
    const reader = new ResendingClient(cluster.url)
    const rows = await cluster.rows<Row>(
      'select session_id, version, kind, command_key from troupe_transitions order by session_id, epoch, version',
    )
    for (const id of this.#sessions) {
      const acknowledged = this.#acknowledged.get(id) ?? []
      const { result } = await reader.request('getSession', { id })
      const version = Number(result?.['version'])
      // Each key was sent until it was answered, so there is one version for each, and one for the creation.
      expect(version, `version of ${id} in Redis`).toBe(acknowledged.length + 1)
      const ofSession = rows.filter((row) => row.session_id === id)
      expect(
        ofSession.map((row) => Number(row.version)),
        `versions of ${id} in PostgreSQL`,
      ).toEqual(Array.from({ length: version }, (_, index) => index + 1))
      const keys = new Map(ofSession.map((row) => [Number(row.version), row.command_key]))
      const wrong = acknowledged.filter(({ key, version: at }) => keys.get(at) !== key)
      expect(wrong, `acknowledged updates of ${id} that are not where they were said to be`).toEqual([])
      expect(new Set(acknowledged.map(({ version: at }) => at)).size).toBe(acknowledged.length)
    }
    reader.close()
  }

  async #write(client: ResendingClient, number: number): Promise<void> {
    for (let count = 0; this.#isRunning; count++) {
      const id = this.#sessions[(number + count) % this.#sessions.length] as string
      const key = `c${number}-${count}`
      const event = { type: 'MERGE', state: { [`c${number}`]: count } }
      const { result, error } = await client.request('updateSession', { id, event, key })
      if (error !== undefined) throw new Error(`${key} was refused: ${JSON.stringify(error)}`)
      this.#acknowledged.get(id)?.push({ key, version: Number(result?.['applied']) })
    }
  }
}
