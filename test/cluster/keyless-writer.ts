/**
 * Writes over a sound line and gives no keys: that an update is not made twice when the reply of Redis is lost is then the
 * business of the commit's number alone.
 */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import { tokenOf } from './witnesses.ts'

interface Reply {
  readonly result?: { readonly applied?: number }
  readonly error?: { readonly data: { readonly code: string; readonly outcome?: string } }
}

export class KeylessWriter {
  /** The version that each update was acknowledged as. */
  readonly applied: number[] = []
  /** Updates of which it was said that nobody knows. */
  unknown = 0
  /** Those that were surely not made. */
  refused = 0
  readonly #socket: WebSocket
  #isRunning = true
  #running: Promise<void> = Promise.resolve()

  private constructor(socket: WebSocket) {
    this.#socket = socket
  }

  static async start(url: string, id: string): Promise<KeylessWriter> {
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${tokenOf('ada')}` } })
    await once(socket, 'open')
    const writer = new KeylessWriter(socket)
    writer.#running = writer.#write(id)
    return writer
  }

  async finish(): Promise<void> {
    this.#isRunning = false
    await this.#running
    this.#socket.terminate()
  }

  async #write(id: string): Promise<void> {
    for (let n = 0; this.#isRunning; n++) {
      const params = { id, event: { type: 'NOTE', by: 'keyless', n } }
      this.#socket.send(JSON.stringify({ jsonrpc: '2.0', id: n, method: 'updateSession', params }))
      const [data] = (await once(this.#socket, 'message')) as [Buffer]
      const { result, error } = JSON.parse(data.toString()) as Reply
      if (result?.applied !== undefined) this.applied.push(result.applied)
      else if (error?.data.outcome === 'unknown') this.unknown++
      else this.refused++
      await sleep(5)
    }
  }
}
