/**
 * The hand-written alternative, its sessions: XState, a Map of warm snapshots, one Lua script per update. What a good
 * engineer would write for one application in a day or two: no command keys, no commit numbers, no tombstones, no
 * notice of a server that took back commits, no audit behind the outbox. That it does less is the point of comparing.
 */
import { Redis } from 'ioredis'
import { initialTransition, transition } from 'xstate'
import type { EventFromLogic, SnapshotFrom } from 'xstate'
import type { basketMachine } from '../machines/basket-machine.ts'
import { connectBaseline } from './scripts.ts'

type Machine = typeof basketMachine
type Snapshot = SnapshotFrom<Machine>

const TTL_MS = 3_600_000
/** How long an update is tried again when other writers win; as long as ours. */
const CONTENTION_MS = 2000

interface Warm {
  snapshot: Snapshot
  version: number
  epoch: string
  /** The update before, so that updates of one session on this worker follow each other. */
  tail: Promise<unknown>
}

/** What a channel of a session carries: a new view and who caused it, or a broadcast. */
export type Heard =
  | { readonly kind: 'updated'; readonly origin: string; readonly view: string }
  | { readonly kind: 'message'; readonly message: string }

export class BaselineSessions {
  readonly #redis: Redis
  readonly #subscriber: Redis
  readonly #prefix: string
  readonly #name: string
  readonly #machine: Machine
  readonly #warm = new Map<string, Warm>()
  readonly #accepts = new Map<string, string[]>()

  constructor(redisUrl: string, prefix: string, name: string, machine: Machine) {
    this.#redis = connectBaseline(redisUrl)
    this.#subscriber = new Redis(redisUrl)
    this.#prefix = prefix
    this.#name = name
    this.#machine = machine
  }

  /** @returns the view, or `null` if the id is taken. */
  async create(id: string): Promise<string | null> {
    const [snapshot] = initialTransition(this.#machine)
    const epoch = String(Date.now() * 1000)
    const view = this.#view(id, epoch, 1, snapshot)
    const record = this.#record(epoch, 1, view, snapshot)
    const created = await this.#redis.baselineCreate(this.#key(id), this.#outbox(), record, TTL_MS, id)
    if (created === 0) return null
    this.#warm.set(id, { snapshot, version: 1, epoch, tail: Promise.resolve() })
    return view
  }

  async get(id: string): Promise<string | null> {
    const record = await this.#redis.get(this.#key(id))
    return record === null ? null : viewOf(record)
  }

  /** @returns the rest of the reply's result after its brace, or `null` if there is no such session. */
  update(id: string, event: EventFromLogic<Machine>, origin: string): Promise<string | null> {
    const warm = this.#warm.get(id)
    if (warm === undefined)
      return this.#load(id).then((found) => (found ? this.update(id, event, origin) : null))
    const result = warm.tail.then(() => this.#apply(id, warm, event, origin))
    warm.tail = result.catch(ignore)
    return result
  }

  async broadcast(id: string, message: string): Promise<void> {
    await this.#redis.spublish(this.#key(id), `m${message}`)
  }

  /** `listener` hears the sessions of {@link subscribe}, by id. */
  listen(listener: (id: string, heard: Heard) => void): void {
    const from = this.#key('').length
    this.#subscriber.on('smessage', (channel: string, text: string) => {
      const end = text.indexOf('\n')
      const heard: Heard =
        text[0] === 'm'
          ? { kind: 'message', message: text.slice(1) }
          : { kind: 'updated', origin: text.slice(0, end), view: viewOf(text.slice(end + 1)) }
      listener(channel.slice(from), heard)
    })
  }

  async subscribe(id: string): Promise<void> {
    await this.#subscriber.ssubscribe(this.#key(id))
  }

  async unsubscribe(id: string): Promise<void> {
    await this.#subscriber.sunsubscribe(this.#key(id))
  }

  async #apply(
    id: string,
    warm: Warm,
    event: EventFromLogic<Machine>,
    origin: string,
  ): Promise<string | null> {
    const until = performance.now() + CONTENTION_MS
    do {
      const [snapshot] = transition(this.#machine, warm.snapshot, event)
      if (snapshot === warm.snapshot) {
        return `"outcome":"unchanged",${this.#view(id, warm.epoch, warm.version, snapshot).slice(1)}`
      }
      const version = warm.version + 1
      const view = this.#view(id, warm.epoch, version, snapshot)
      const answer = await this.#redis.baselineUpdate(
        this.#key(id),
        this.#outbox(),
        String(warm.version),
        this.#record(warm.epoch, version, view, snapshot),
        TTL_MS,
        id,
        JSON.stringify(event),
        origin,
      )
      if (answer === 1) {
        warm.snapshot = snapshot
        warm.version = version
        return `"outcome":"committed","applied":${version},${view.slice(1)}`
      }
      if (answer === null) {
        this.#warm.delete(id)
        return null
      }
      this.#restore(warm, answer)
    } while (performance.now() < until)
    throw new Error('too many writers at this session at once')
  }

  async #load(id: string): Promise<boolean> {
    const record = await this.#redis.get(this.#key(id))
    if (record === null) return false
    if (!this.#warm.has(id)) {
      const [snapshot] = initialTransition(this.#machine)
      const warm: Warm = { snapshot, version: 0, epoch: '', tail: Promise.resolve() }
      this.#restore(warm, record)
      this.#warm.set(id, warm)
    }
    return true
  }

  #restore(warm: Warm, record: string): void {
    const [version, epoch, view = '', internals = ''] = record.split('\n')
    const persisted = { ...(JSON.parse(view) as object), ...(JSON.parse(internals) as object) }
    warm.snapshot = this.#machine.resolveState(persisted as Parameters<Machine['resolveState']>[0])
    warm.version = Number(version)
    warm.epoch = epoch ?? ''
  }

  #record(epoch: string, version: number, view: string, snapshot: Snapshot): string {
    return `${version}\n${epoch}\n${view}\n${JSON.stringify({ historyValue: snapshot.historyValue })}`
  }

  #view(id: string, epoch: string, version: number, snapshot: Snapshot): string {
    const persisted = this.#machine.getPersistedSnapshot(snapshot) as unknown as Snapshot
    return JSON.stringify({
      id,
      machine: this.#name,
      epoch,
      version,
      updatedAt: Date.now(),
      status: persisted.status,
      value: persisted.value,
      context: persisted.context,
      tags: [...snapshot.tags],
      accepts: this.#acceptsOf(snapshot),
      output: persisted.output,
    })
  }

  #acceptsOf(snapshot: Snapshot): string[] {
    const configuration = String(snapshot.value)
    let accepts = this.#accepts.get(configuration)
    if (accepts === undefined) {
      accepts = snapshot._nodes.flatMap((node) => node.ownEvents)
      this.#accepts.set(configuration, accepts)
    }
    return accepts
  }

  #key(id: string): string {
    return `${this.#prefix}:session:${id}`
  }

  #outbox(): string {
    return `${this.#prefix}:outbox`
  }
}

function viewOf(record: string): string {
  const from = record.indexOf('\n', record.indexOf('\n') + 1) + 1
  return record.slice(from, record.indexOf('\n', from))
}

function ignore(): void {}
