/** Sessions that a well-behaved client writes to while others misbehave, and must have exactly what it was told. */
import type { Reply } from '../cluster/resending-client.ts'
import { ResendingClient } from '../cluster/resending-client.ts'

export const canaryIds: readonly string[] = Array.from({ length: 8 }, (_, n) => `canary-${n}`)

export class Canaries {
  readonly #client: ResendingClient
  readonly #acknowledged = new Map<string, number[]>()
  readonly #pauseMs: number
  #isRunning = true
  #writing: Promise<unknown> = Promise.resolve()
  /** What was refused to the well-behaved client, though it must not be. */
  readonly refusals: string[] = []

  constructor(url: string, pauseMs = 20) {
    this.#client = new ResendingClient(url)
    this.#pauseMs = pauseMs
  }

  async start(): Promise<void> {
    for (const id of canaryIds) {
      const { error } = await this.#client.request('createSession', {
        machine: 'document',
        id,
        key: 'create',
      })
      if (error !== undefined) throw new Error(`${id} could not be made: ${error.message}`)
      this.#acknowledged.set(id, [])
    }
    this.#writing = Promise.all(canaryIds.map((id) => this.#write(id)))
  }

  get acknowledged(): number {
    return [...this.#acknowledged.values()].reduce((sum, list) => sum + list.length, 0)
  }

  /** Ends the writing. @returns what is not as it was acknowledged */
  async finish(): Promise<string[]> {
    this.#isRunning = false
    await this.#writing
    const wrong = [...this.refusals]
    for (const [id, versions] of this.#acknowledged) {
      const { result } = await this.#client.request('getSession', { id })
      const wanted = { version: versions.length + 1, context: { state: { count: versions.length } } }
      const found = { version: result?.['version'], context: result?.['context'] }
      if (JSON.stringify(found) !== JSON.stringify(wanted))
        wrong.push(`${id} is ${JSON.stringify(found)}, acknowledged was ${JSON.stringify(wanted)}`)
      if (versions.some((version, index) => version !== index + 2))
        wrong.push(`${id}: the acknowledged versions are not 2, 3, 4 …`)
    }
    if (this.#client.reconnects > 0)
      wrong.push(`the well-behaved client was cut off ${this.#client.reconnects} times`)
    this.#client.close()
    return wrong
  }

  async #write(id: string): Promise<void> {
    const versions = this.#acknowledged.get(id) ?? []
    while (this.#isRunning) {
      const count = versions.length + 1
      const event = { type: 'MERGE', state: { count } }
      const reply: Reply = await this.#client.request('updateSession', { id, event, key: `k${count}` })
      if (reply.error !== undefined) {
        this.refusals.push(`${id} was refused ${count}: ${reply.error.message}`)
        return
      }
      versions.push(Number(reply.result?.['applied']))
      await new Promise((resolve) => setTimeout(resolve, this.#pauseMs))
    }
  }
}
