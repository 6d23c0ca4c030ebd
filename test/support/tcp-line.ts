/** One connection through a proxy: what comes from either side goes on to the other, late, never, or twice. */
import type { Socket } from 'node:net'

export type Direction = 'up' | 'down'

/** What a fault does to a direction of a line. */
export interface Treatment {
  readonly delayMs: number
  /** Added to the delay of each chunk, 0 to 1 of it by `random`; the order stays. */
  readonly jitterMs: number
  /** Bytes are taken and go nowhere. */
  readonly isLost: boolean
  /** Nothing is taken: the sender's buffers fill. */
  readonly isHeld: boolean
  /** The next chunk comes twice. */
  readonly isDoubled: boolean
}

export const SOUND: Treatment = { delayMs: 0, jitterMs: 0, isLost: false, isHeld: false, isDoubled: false }

/** Beyond this nothing more is taken from a sender until the receiver has taken something. */
const MAX_DELAYED_BYTES = 1024 * 1024

export class TcpLine {
  readonly up: Flow
  readonly down: Flow
  readonly #sockets: readonly Socket[]
  readonly #onOver: () => void

  /** @param server `null`: there is nobody behind it, and the client is not told. */
  constructor(
    client: Socket,
    server: Socket | null,
    { random, onOver }: { readonly random: () => number; readonly onOver: () => void },
  ) {
    this.#onOver = onOver
    this.#sockets = server === null ? [client] : [client, server]
    this.up = new Flow(client, server, random)
    this.down = new Flow(server, client, random)
    for (const socket of this.#sockets) {
      socket.setNoDelay(true)
      socket.on('error', () => this.#ended(socket)).on('close', () => this.#ended(socket))
    }
  }

  /** Bytes vanished in it: it cannot go on as if nothing had been. */
  get hasLost(): boolean {
    return this.up.lostBytes > 0 || this.down.lostBytes > 0
  }

  /** `reset`: as a host that knows nothing of it; `end`: as a host that is done; else both sides are just gone. */
  cut(how: 'reset' | 'end' | 'gone' = 'gone'): void {
    for (const socket of this.#sockets) {
      if (how === 'reset') socket.resetAndDestroy()
      else if (how === 'end') socket.end()
      else socket.destroy()
    }
  }

  /** Nothing comes through any more, and nobody is told. */
  die(): void {
    for (const flow of [this.up, this.down]) flow.die()
  }

  /** This side is gone and the other is not told: from there everything is taken, and nothing ever comes. */
  lose(side: 'client' | 'server'): void {
    this.die()
    const gone = side === 'client' ? this.#sockets[0] : this.#sockets[1]
    if (this.#sockets.length > 1) gone?.removeAllListeners('close')
    gone?.destroy()
  }

  #ended(socket: Socket): void {
    this.die()
    socket.destroy()
    for (const other of this.#sockets) other.destroy()
    this.#onOver()
  }
}

class Flow {
  lostBytes = 0
  readonly #from: Socket | null
  readonly #to: Socket | null
  readonly #random: () => number
  readonly #delayed: { readonly data: Buffer; readonly dueAt: number }[] = []
  #delayedBytes = 0
  #timer: NodeJS.Timeout | null = null
  #treatment = SOUND
  #isDead = false

  constructor(from: Socket | null, to: Socket | null, random: () => number) {
    this.#from = from
    this.#to = to
    this.#random = random
    from?.on('data', (data: Buffer) => this.#came(data))
    to?.on('drain', () => this.#listen())
  }

  treat(change: Partial<Treatment>): void {
    this.#treatment = { ...this.#treatment, ...change }
    this.#listen()
  }

  /** From now on all is taken and nothing goes on, whatever the treatment. */
  die(): void {
    this.#isDead = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#delayed.length = this.#delayedBytes = 0
    this.#from?.resume()
  }

  #came(data: Buffer): void {
    const { isLost, isDoubled, delayMs, jitterMs } = this.#treatment
    if (this.#isDead || isLost || this.#to === null) {
      this.lostBytes += data.length
      return
    }
    if (isDoubled) this.#treatment = { ...this.#treatment, isDoubled: false }
    const whole = isDoubled ? Buffer.concat([data, data]) : data
    const waitMs = delayMs + jitterMs * this.#random()
    if (waitMs === 0 && this.#delayed.length === 0) this.#to.write(whole)
    else {
      const dueAt = Math.max(performance.now() + waitMs, this.#delayed.at(-1)?.dueAt ?? 0)
      this.#delayed.push({ data: whole, dueAt })
      this.#delayedBytes += whole.length
      this.#wait()
    }
    this.#listen()
  }

  #wait(): void {
    const [next] = this.#delayed
    if (next === undefined || this.#timer !== null) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      for (let head = this.#delayed[0]; head !== undefined; head = this.#delayed[0]) {
        if (head.dueAt > performance.now()) break
        this.#delayed.shift()
        this.#delayedBytes -= head.data.length
        this.#to?.write(head.data)
      }
      this.#wait()
      this.#listen()
    }, next.dueAt - performance.now())
  }

  /** Takes what comes, or leaves it where it is: a receiver that does not read must be felt by the sender. */
  #listen(): void {
    const isFull = this.#delayedBytes > MAX_DELAYED_BYTES || this.#to?.writableNeedDrain === true
    if (!this.#isDead && (this.#treatment.isHeld || (isFull && !this.#treatment.isLost))) this.#from?.pause()
    else this.#from?.resume()
  }
}
