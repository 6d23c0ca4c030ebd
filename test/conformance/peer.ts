/**
 * One connection of the suite: a plain WebSocket client that keeps what comes in the order in which it came, and holds all
 * of it against the schemas and the rule of one stream while it is at it.
 */
import WebSocket from 'ws'
import type { ClientOptions } from 'ws'
import type { MethodName, NotificationName } from '../../transport/protocol/messages.ts'
import { Broken, shown } from './broken.ts'
import { Inspector } from './inspector.ts'
import type { ErrorObject, Incoming, ParamsOf, ResultOf } from './wire.ts'

/** Longer than any pause of a healthy server. */
const PATIENCE_MS = 5000

export interface PeerOptions extends ClientOptions {
  readonly protocols?: readonly string[]
  /** An answer that is not there by then will not come. */
  readonly patienceMs?: number
}

export class Peer {
  /** All frames, parsed, in the order in which they came. */
  readonly frames: unknown[] = []
  readonly socket: WebSocket
  readonly #inspector = new Inspector()
  readonly #watching = new Set<() => void>()
  readonly #patienceMs: number
  #ids = 0
  #close: { readonly code: number; readonly reason: string } | null = null

  private constructor(socket: WebSocket, patienceMs: number) {
    this.socket = socket
    this.#patienceMs = patienceMs
    socket.on('message', (data: Buffer) => {
      this.frames.push(this.#inspector.arrived(data.toString()))
      this.#look()
    })
    socket.on('close', (code, reason) => {
      this.#close = { code, reason: reason.toString() }
      this.#look()
    })
    socket.on('error', () => undefined)
  }

  /** @throws Error of the socket: nobody listens, or the upgrade was refused */
  static async open(
    url: string,
    { protocols = [], patienceMs = PATIENCE_MS, ...options }: PeerOptions = {},
  ): Promise<Peer> {
    const socket = new WebSocket(url, [...protocols], { handshakeTimeout: PATIENCE_MS, ...options })
    const peer = new Peer(socket, patienceMs)
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('error', reject)
    })
    return peer
  }

  /** What was wrong with anything that came, whether a case looked at it or not. */
  get complaints(): readonly string[] {
    return this.#inspector.complaints
  }

  /** All messages, those of batches one by one. */
  get messages(): readonly Incoming[] {
    return this.frames.flatMap((frame) =>
      Array.isArray(frame) ? (frame as Incoming[]) : [frame as Incoming],
    )
  }

  /** A text is sent as it is, everything else as JSON. */
  send(frame: unknown): void {
    const text = typeof frame === 'string' ? frame : JSON.stringify(frame)
    this.expect(text)
    this.socket.send(text)
  }

  /** For a frame that is sent in a way of its own: its replies are no surprise. */
  expect(text: string): void {
    this.#inspector.sent(text)
  }

  /** Sends a request with an id of its own. @returns its reply, whatever it is */
  async call(method: string, params: unknown): Promise<Incoming> {
    const id = this.nextId()
    this.send({ jsonrpc: '2.0', id, method, params })
    return this.reply(id)
  }

  nextId(): string {
    return `request-${++this.#ids}`
  }

  /** The reply with this id, now or when it comes. */
  reply(id: unknown): Promise<Incoming> {
    return this.until(`reply with the id ${shown(id)}`, () =>
      this.messages.find((message) => message.method === undefined && message.id === id),
    )
  }

  /** @throws Broken if it is refused */
  async result<M extends MethodName>(method: M, params: ParamsOf<M>): Promise<ResultOf<M>> {
    return resultOf<M>(await this.call(method, params), `${method} ${shown(params)}`)
  }

  /** @throws Broken if it is not refused with this word */
  async refused(word: string, method: string, params: unknown): Promise<ErrorObject> {
    return refusalOf(await this.call(method, params), word, `${method} ${shown(params)}`)
  }

  /** The replies of one batch, by the ids of its requests. */
  async batch(requests: readonly { readonly id?: unknown }[]): Promise<Map<unknown, Incoming>> {
    const before = this.frames.length
    this.send(requests)
    const ids = requests.map(({ id }) => id).filter((id) => id !== undefined)
    const replies = await this.until(`one array with the replies ${shown(ids)}`, () =>
      this.frames.slice(before).find((frame): frame is Incoming[] => isReplyTo(frame, ids)),
    )
    return new Map(replies.map((reply) => [reply.id, reply]))
  }

  /** Params of the notifications of this name that have come, of one session if an id is given. */
  heard(method: NotificationName, id?: string): Record<string, unknown>[] {
    return this.messages
      .filter((message) => message.method === method)
      .map((message) => message.params as Record<string, unknown>)
      .filter((params) => id === undefined || params['id'] === id)
  }

  /** Params of the first such notification, now or when it comes. */
  notified(
    method: NotificationName,
    id: string,
    is: (params: Record<string, unknown>) => boolean = () => true,
  ): Promise<Record<string, unknown>> {
    return this.until(`${method} of ${id}`, () => this.heard(method, id).find(is))
  }

  /**
   * Resolves when what was sent before must have been answered, and what was to be told because of it must have come:
   * proves that something does not come as far as that can be proven.
   */
  async quiet(ms = 200): Promise<void> {
    await this.call('rpc.discover', {})
    await new Promise((resolve) => setTimeout(resolve, ms))
  }

  closed(): Promise<{ readonly code: number; readonly reason: string }> {
    return this.until('close', () => this.#close ?? undefined)
  }

  /** What `find` finds, now or after something has come. @throws Broken if it does not come */
  until<T>(what: string, find: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = find()
        if (found !== undefined) settle(() => resolve(found))
        else if (this.#close !== null)
          settle(() => reject(new Broken(`${what} did not come: closed with ${this.#close?.code}`)))
      }
      const timer = setTimeout(
        () =>
          settle(() =>
            reject(
              new Broken(
                `${what} did not come within ${this.#patienceMs} ms; last: ${shown(this.frames.at(-1))}`,
              ),
            ),
          ),
        this.#patienceMs,
      )
      const settle = (then: () => void): void => {
        clearTimeout(timer)
        this.#watching.delete(look)
        then()
      }
      this.#watching.add(look)
      look()
    })
  }

  #look(): void {
    for (const look of [...this.#watching]) look()
  }
}

/** @throws Broken if the reply is an error */
export function resultOf<M extends MethodName>(reply: Incoming | undefined, what: string): ResultOf<M> {
  if (reply === undefined) throw new Broken(`${what} was not answered`)
  if (reply.error !== undefined)
    throw new Broken(`${what} was refused: ${reply.error.data?.code ?? ''} ${reply.error.message}`)
  return reply.result as ResultOf<M>
}

/** @throws Broken if the reply is not an error with this word */
export function refusalOf(reply: Incoming | undefined, word: string, what: string): ErrorObject {
  if (reply === undefined) throw new Broken(`${what} was not answered`)
  if (reply.error === undefined) throw new Broken(`${what} was not refused: ${shown(reply.result)}`)
  if (reply.error.data?.code !== word)
    throw new Broken(`${what} was refused with ${shown(reply.error)}, not with ${word}`)
  return reply.error
}

function isReplyTo(frame: unknown, ids: readonly unknown[]): boolean {
  return Array.isArray(frame) && (frame as Incoming[]).some(({ id }) => ids.includes(id))
}
