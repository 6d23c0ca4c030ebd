import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { SOUND, TcpLine, type Direction, type Treatment } from './tcp-line.ts'

/** What may happen to a line. Those that last do so until {@link TcpProxy.heal}. */
export type Fault =
  /** All comes later, in order. */
  | { readonly kind: 'delay'; readonly ms: number; readonly jitterMs: number }
  | { readonly kind: 'cut'; readonly how: 'reset' | 'end' }
  /** One side is gone, and the other is never told. */
  | { readonly kind: 'half-open'; readonly gone: 'client' | 'server' }
  /** Bytes vanish; lines in which some did stay dead for good, and new ones are taken and never answered. */
  | { readonly kind: 'blackhole'; readonly directions: readonly Direction[] }
  /** Nothing is taken from who sends in these directions, and nothing is lost. */
  | { readonly kind: 'stall'; readonly directions?: readonly Direction[] }
  /** The next bytes come twice. */
  | { readonly kind: 'duplicate'; readonly direction: Direction }

const BOTH: readonly Direction[] = ['up', 'down']

/** Stands between a client and its server, and loses, holds back, doubles or cuts what goes through. */
export class TcpProxy {
  readonly #server: Server
  #target: URL
  readonly #random: () => number
  readonly #lines = new Set<TcpLine>()
  #treatments: Record<Direction, Treatment> = { up: SOUND, down: SOUND }
  #opened = 0
  #swallowed = 0
  #isSwallowing = false
  #isRefusing = false
  /** New connections are taken, and there is nobody behind them. */
  #isAbyss = false

  private constructor(target: URL, random: () => number) {
    this.#target = target
    this.#random = random
    this.#server = createServer((client) => this.#accept(client))
  }

  /**
   * @param target URL of the server; everything but host and port is kept in {@link url}
   * @param random for jitter
   */
  static async start(target: string, random: () => number = Math.random): Promise<TcpProxy> {
    const proxy = new TcpProxy(new URL(target), random)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url(): string {
    const url = new URL(this.#target)
    url.host = `127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`
    return url.href
  }

  /** How many connections were ever made. */
  get opened(): number {
    return this.#opened
  }

  /** New connections go there; those that are open stay where they are. */
  redirect(target: string): void {
    this.#target = new URL(target)
  }

  /** Bytes of replies that were swallowed. */
  get swallowed(): number {
    return [...this.#lines].reduce((sum, line) => sum + line.down.lostBytes, this.#swallowed)
  }

  /** From now on requests arrive and their replies do not. */
  swallowReplies(): void {
    this.#isSwallowing = true
    this.#treat('down', { isLost: true })
  }

  /** Replies come through later by this much, in order. */
  delayReplies(ms: number): void {
    this.#treat('down', { delayMs: ms })
  }

  /** Nothing comes through in either direction until {@link heal}; nothing is lost. */
  pause(): void {
    this.apply({ kind: 'stall' })
  }

  /** Cuts all connections. `refusing`: new ones are cut too, until {@link heal}. */
  cut({ refusing = false } = {}): void {
    this.#isRefusing = refusing
    for (const line of this.#lines) line.cut()
  }

  /**
   * @param isHit asked for each open line; where it is not all, new lines are sound.
   * @returns how many were hit
   */
  apply(fault: Fault, isHit?: () => boolean): number {
    const hit = [...this.#lines].filter(() => isHit?.() ?? true)
    const treat = (direction: Direction, change: Partial<Treatment>): void => {
      if (isHit === undefined) this.#treat(direction, change)
      else for (const line of hit) line[direction].treat(change)
    }
    switch (fault.kind) {
      case 'delay':
        for (const each of BOTH) treat(each, { delayMs: fault.ms, jitterMs: fault.jitterMs })
        break
      case 'cut':
        for (const line of hit) line.cut(fault.how)
        break
      case 'half-open':
        for (const line of hit) line.lose(fault.gone)
        break
      case 'blackhole':
        if (isHit === undefined) this.#isAbyss = true
        for (const line of hit) for (const each of fault.directions) line[each].treat({ isLost: true })
        break
      case 'stall':
        for (const each of fault.directions ?? BOTH) treat(each, { isHeld: true })
        break
      case 'duplicate':
        for (const line of hit) line[fault.direction].treat({ isDoubled: true })
    }
    return hit.length
  }

  /**
   * Everything comes through again. Lines that lost bytes to a blackhole are as dead as half-open ones, and say nothing; those
   * that lost replies to {@link swallowReplies} are cut: they would answer one late.
   */
  heal(): void {
    for (const line of this.#lines) {
      if (!line.hasLost) continue
      if (this.#isSwallowing) line.cut()
      else line.die()
    }
    this.#isSwallowing = this.#isRefusing = this.#isAbyss = false
    for (const direction of BOTH) this.#treat(direction, SOUND)
  }

  async stop(): Promise<void> {
    this.cut({ refusing: true })
    const closed = once(this.#server, 'close')
    this.#server.close()
    await closed
  }

  #treat(direction: Direction, change: Partial<Treatment>): void {
    this.#treatments = { ...this.#treatments, [direction]: { ...this.#treatments[direction], ...change } }
    for (const line of this.#lines) line[direction].treat(change)
  }

  #accept(client: Socket): void {
    if (this.#isRefusing) {
      client.destroy()
      return
    }
    const server = this.#isAbyss ? null : connect(Number(this.#target.port), this.#target.hostname)
    const line = new TcpLine(client, server, {
      random: this.#random,
      onOver: () => {
        if (this.#lines.delete(line)) this.#swallowed += line.down.lostBytes
      },
    })
    this.#lines.add(line)
    this.#opened++
    for (const direction of BOTH) line[direction].treat(this.#treatments[direction])
  }
}
