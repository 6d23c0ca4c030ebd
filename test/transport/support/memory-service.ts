import type {
  Caller,
  CreateRequest,
  Principal,
  SessionService,
  UpdateRequest,
  UpdateResult,
  UpdateSink,
} from '../../../actors/ports.ts'
import type { SessionUpdated } from '../../../actors/feed-message.ts'
import { TroupeError } from '../../../actors/errors.ts'
import type { Until } from '../../../actors/until.ts'
import type { Position, PublicState, SessionId, SessionRecord } from '../../../actors/session.ts'
import { encodeView, makeRecord, makeUpdate, sessionId } from './parts.ts'

/** Sessions in memory behind the port that the gateway calls: each event counts its session on by one. */
export class MemoryService implements SessionService {
  readonly sessions = new Map<string, SessionRecord>()
  readonly calls: string[] = []
  sink: UpdateSink = { publish: () => undefined }
  /** Called with the broadcast's text; a feed in real life. */
  onBroadcast: (id: SessionId, message: string) => void = () => undefined
  /** Every operation takes this long, in ms; 0: one turn of the event loop. */
  delayMs: () => number = () => 0
  /** What every operation fails with. */
  failure: Error | null = null
  /** Why no session can be shown. */
  unshowable: Error | null = null
  readonly #histories = new Map<string, readonly SessionUpdated[]>()
  #created = 0
  #epoch = 1000
  /** Writes are done one after another, as the mailboxes of the real service do. */
  #writes: Promise<unknown> = Promise.resolve()

  encodeView(record: SessionRecord, principal: Principal | null): string {
    if (this.unshowable !== null) throw this.unshowable
    return encodeView(record, principal)
  }

  viewGroup(_record: SessionRecord, principal: Principal | null): string {
    if (this.unshowable !== null) throw this.unshowable
    return principal === null ? '' : JSON.stringify(principal)
  }

  stateOf(record: SessionRecord): PublicState {
    if (this.unshowable !== null) throw this.unshowable
    return JSON.parse(record.state) as PublicState
  }

  checkUntil(_record: SessionRecord, until: Until): void {
    if ('tag' in until && until.tag === 'unheard-of') throw new TroupeError('invalid_params', 'no such tag')
  }

  create(request: CreateRequest, caller: Caller): Promise<{ created: boolean; record: SessionRecord }> {
    return this.#write(`create ${request.id ?? ''}`, () => {
      const id = sessionId(request.id ?? `made-${++this.#created}`)
      const existing = this.sessions.get(id)
      if (existing !== undefined) {
        if (request.ifExists === 'return') return { created: false, record: existing }
        throw new TroupeError('session_exists', `There is a session ${id}.`)
      }
      const record = makeRecord(id, 1, String(++this.#epoch), request.input ?? {})
      this.#commit(record, caller)
      return { created: true, record }
    })
  }

  async get(id: SessionId): Promise<SessionRecord | null> {
    await this.#pause(`get ${id}`)
    return this.sessions.get(id) ?? null
  }

  update(request: UpdateRequest, caller: Caller): Promise<UpdateResult> {
    return this.#write(`update ${request.id} ${request.event.type}`, () => {
      const before = this.#existing(request.id)
      if (request.event.type === 'NOTHING') return { outcome: 'unchanged', record: before }
      const record = makeRecord(before.id, before.version + 1, before.epoch, { last: request.event })
      this.#commit(record, caller)
      return { outcome: 'committed', applied: record.version, record }
    })
  }

  delete(id: SessionId, caller: Caller): Promise<boolean> {
    return this.#write(`delete ${id}`, () => {
      const record = this.sessions.get(id)
      if (record === undefined) return false
      this.sessions.delete(id)
      const position = { epoch: record.epoch, version: record.version + 1 }
      this.sink.publish({ kind: 'ended', id, position, reason: 'deleted' }, originsOf(caller))
      return true
    })
  }

  async broadcast(id: SessionId, message: unknown): Promise<void> {
    await this.#pause(`broadcast ${id} ${JSON.stringify(message)}`)
    this.onBroadcast(id, JSON.stringify(message))
  }

  readonly read = async (id: SessionId): Promise<SessionRecord | null> => {
    await this.#pause(`read ${id}`)
    return this.sessions.get(id) ?? null
  }

  readonly positions = async (ids: readonly SessionId[]): Promise<(Position | null)[]> =>
    ids.map((id) => this.sessions.get(id) ?? null)

  /** How many commits a session keeps. */
  keeps = 0

  readonly history = async ({ id }: SessionRecord, count: number): Promise<readonly SessionUpdated[]> =>
    this.keeps === 0 ? [] : (this.#histories.get(id) ?? []).slice(-Math.min(this.keeps, count))

  #existing(id: SessionId): SessionRecord {
    const record = this.sessions.get(id)
    if (record === undefined) throw new TroupeError('not_found', `There is no session ${id}.`)
    return record
  }

  #commit(record: SessionRecord, caller: Caller): void {
    this.sessions.set(record.id, record)
    const update = makeUpdate(record, 'here')
    this.#histories.set(record.id, [...(this.#histories.get(record.id) ?? []), update])
    this.sink.publish(update, originsOf(caller))
  }

  #write<T>(name: string, act: () => T): Promise<T> {
    const result = this.#writes.then(() => this.#pause(name)).then(act)
    this.#writes = result.catch(() => undefined)
    return result
  }

  async #pause(name: string): Promise<void> {
    this.calls.push(name)
    const ms = this.delayMs()
    await new Promise<void>((resolve) => void (ms > 0 ? setTimeout(resolve, ms) : setImmediate(resolve)))
    if (this.failure !== null) throw this.failure
  }
}

function originsOf(caller: Caller): ReadonlySet<object> {
  return new Set(caller.origin === null ? [] : [caller.origin])
}
