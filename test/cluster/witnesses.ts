/** Raw sockets that check what comes over them: one sees its own rooms and must not see a position twice, the other nothing at all. */
import { createHmac } from 'node:crypto'
import WebSocket from 'ws'
import { comparePositions, type Position } from '../../actors/session.ts'

export const SECRET = 'a secret of at least 32 bytes, for tests'

export function tokenOf(sub: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const head = `${part({ alg: 'HS256' })}.${part({ sub })}`
  return `${head}.${createHmac('sha256', SECRET).update(head).digest('base64url')}`
}

interface Message {
  readonly id?: number
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: { readonly session?: Record<string, unknown> | null } & Record<string, unknown>
  readonly error?: { readonly data: { readonly code: string } }
}

/** One that is silent for so long is given up. */
const SILENCE_MS = 2500

/** Connects again and again, and asks the same things in turn. */
abstract class Witness {
  readonly wrong: string[] = []
  messages = 0
  readonly #url: string
  readonly #token: string
  #socket: WebSocket | null = null
  #isClosed = false

  constructor(url: string, principal: string) {
    this.#url = url
    this.#token = tokenOf(principal)
  }

  protected abstract ask(round: number): object[]
  protected abstract heard(message: Message): void

  start(): this {
    this.#connect()
    return this
  }

  close(): void {
    this.#isClosed = true
    this.#socket?.terminate()
  }

  #connect(): void {
    if (this.#isClosed) return
    const headers = { authorization: `Bearer ${this.#token}` }
    const socket = new WebSocket(this.#url, { handshakeTimeout: 2000, headers })
    this.#socket = socket
    let silence: NodeJS.Timeout | undefined
    const listen = (): void => {
      clearTimeout(silence)
      silence = setTimeout(() => socket.terminate(), SILENCE_MS)
    }
    let round = 0
    const send = (): void => this.ask(round++).forEach((request) => socket.send(JSON.stringify(request)))
    const asking = setInterval(() => {
      if (socket.readyState === WebSocket.OPEN) send()
    }, 300)
    socket.on('error', () => undefined)
    socket.on('open', () => {
      listen()
      send()
    })
    socket.on('message', (data: Buffer) => {
      listen()
      this.messages++
      this.heard(JSON.parse(data.toString()) as Message)
    })
    socket.on('close', () => {
      clearTimeout(silence)
      clearInterval(asking)
      setTimeout(() => this.#connect(), 50)
    })
  }
}

export class Watcher extends Witness {
  /** The newest position seen of each room. */
  readonly seen = new Map<string, Position>()
  readonly #owner: string
  readonly #ids: readonly string[]
  readonly #refused = new Set<string>()
  /** Asked for, and not answered yet. A request that came twice is answered twice, and the second time with what the first one was. */
  readonly #unanswered = new Set<string>()

  constructor(url: string, owner: string, ids: readonly string[]) {
    super(url, owner)
    this.#owner = owner
    this.#ids = ids
  }

  protected ask(round: number): object[] {
    const ids = round === 0 ? this.#ids : [...this.#refused]
    this.#refused.clear()
    for (const id of ids) this.#unanswered.add(id)
    // An answer is all that is wanted of the last one.
    const probe = { jsonrpc: '2.0', id: 0, method: 'unsubscribe', params: { id: 'none' } }
    return [
      ...ids.map((id) => ({
        jsonrpc: '2.0',
        id: this.#ids.indexOf(id) + 1,
        method: 'subscribe',
        params: { id, ...(this.seen.has(id) && { since: this.seen.get(id) }) },
      })),
      probe,
    ]
  }

  protected heard({ id: request = 0, method, params, result, error }: Message): void {
    // Refused for the moment: it is asked again.
    const refused = error === undefined ? undefined : this.#ids[request - 1]
    if (refused !== undefined) this.#refused.add(refused)
    const isSecond = method === undefined && !this.#unanswered.delete(this.#ids[request - 1] ?? '')
    const view = method === 'sessionUpdated' ? params : result?.session
    if (method === 'sessionEnded') this.wrong.push(`an end: ${JSON.stringify(params)}`)
    if (view === undefined || view === null) return
    const { id, epoch, version, context } = view as unknown as Position & { id: string; context: Context }
    const before = this.seen.get(id)
    if (before !== undefined && comparePositions({ epoch, version }, before) <= (isSecond ? -1 : 0))
      this.wrong.push(`${id} at ${version} after ${before.version}`)
    if (context.owner !== this.#owner) this.wrong.push(`${id} of ${context.owner}`)
    this.seen.set(id, { epoch, version })
  }
}

interface Context {
  readonly owner: string
}

/** A stranger with a room of its own, who tries everything with those of others. */
export class Stranger extends Witness {
  readonly #ids: readonly string[]
  own = 0
  refused = 0

  constructor(url: string, ids: readonly string[]) {
    super(url, 'stranger')
    this.#ids = ids
  }

  protected ask(round: number): object[] {
    const id = this.#ids[round % this.#ids.length]
    const event = { type: 'NOTE', by: 'stranger', n: round }
    const requests: [string, object][] = [
      ['getSession', { id: 'own' }],
      ['getSession', { id }],
      ['subscribe', { id }],
      ['updateSession', { id, event }],
      ['broadcastToSession', { id, message: 'hello' }],
      ['deleteSession', { id }],
    ]
    return requests.map(([method, params], index) => ({ jsonrpc: '2.0', id: index + 1, method, params }))
  }

  protected heard(message: Message): void {
    const { id, method, result, error } = message
    const context = result?.['context'] as Context | undefined
    if (method === 'goAway') return
    if (error !== undefined) this.refused += error.data.code === 'forbidden' ? 1 : 0
    else if (id === 1 && result?.['id'] === 'own' && context?.owner === 'stranger') this.own++
    else this.wrong.push(JSON.stringify(message).slice(0, 300))
  }
}
