/** Clients that write while a cluster is being harmed, and the check that nothing they were told was untrue. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { checkAcknowledged } from './acknowledged.ts'
import type { Acknowledged } from './acknowledged.ts'
import type { Cluster } from './cluster.ts'
import { ResendingClient } from './resending-client.ts'

export class Writers {
  readonly #sessions: string[] = []
  readonly #clients: ResendingClient[] = []
  readonly #acknowledged = new Map<string, Acknowledged[]>()
  readonly #loops: Promise<void>[] = []
  #isRunning = true
  #pauseMs = 0

  /** Creates the sessions; then each client writes to one after the other, one request at a time. */
  async start(
    cluster: Cluster,
    { clients, sessions, pauseMs = 0 }: { clients: number; sessions: number; pauseMs?: number },
  ): Promise<void> {
    this.#pauseMs = pauseMs
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

  get sessions(): number {
    return this.#sessions.length
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

  /** See {@link checkAcknowledged}. */
  async check(cluster: Cluster): Promise<void> {
    await checkAcknowledged(cluster, this.#acknowledged)
  }

  async #write(client: ResendingClient, number: number): Promise<void> {
    for (let count = 0; this.#isRunning; count++) {
      const id = this.#sessions[(number + count) % this.#sessions.length] as string
      const key = `c${number}-${count}`
      const event = { type: 'MERGE', state: { [`c${number}`]: count } }
      const { result, error } = await client.request('updateSession', { id, event, key })
      if (error !== undefined) throw new Error(`${key} was refused: ${JSON.stringify(error)}`)
      this.#acknowledged.get(id)?.push({ key, version: Number(result?.['applied']) })
      if (this.#pauseMs > 0) await sleep(this.#pauseMs)
    }
  }
}
