/** The actors of this process: one mailbox a session, and the five operations on top (design: docs/architecture.md). */
import { randomUUID } from 'node:crypto'
import { TroupeError } from '../../actors/errors.ts'
import type { Caller, Clock, CreateRequest, Downtime, Logger } from '../../actors/ports.ts'
import type { SessionService, SessionStore } from '../../actors/ports.ts'
import type { Principal, UpdateRequest, UpdateResult, UpdateSink } from '../../actors/ports.ts'
import { checkAccess } from '../../actors/access.ts'
import { partitionOf } from '../../actors/partitions.ts'
import type { Registry } from '../../actors/registry.ts'
import { isLifetime } from '../../actors/define-session.ts'
import { parseSessionId, type Position, type PublicState } from '../../actors/session.ts'
import type { SessionId, SessionRecord } from '../../actors/session.ts'
import { checkUntil, type Until } from '../../actors/until.ts'
import { rateLimited } from '../../persistence/audit/rate-limited.ts'
import { farewell, sleep } from '../clock.ts'
import { commandKey, idFromKey } from './command-keys.ts'
import { Committer } from './committer.ts'
import type { HostLimits, HostParts } from './host-parts.ts'
import { endExpired, takeCreateTurn, takeDeleteTurn } from './life-turns.ts'
import { Mailbox } from './mailbox.ts'
import { failureError } from './outcome-errors.ts'
import type { Item } from './requests.ts'
import { textOf } from './json-text.ts'
import { takeInternalTurn, type ComputeStep } from './internal-turn.ts'
import { mailTurn, type MailOrder, type MailOutcome } from './mail-turn.ts'
import { Permissions, type Screen } from './permissions.ts'
import { Postman } from './postman.ts'
import { presenceOf } from './presence-of.ts'
import { PromiseActors } from './promise-actors.ts'
import { timerStep } from './timer-turn.ts'
import { takeUpdateTurn } from './update-turn.ts'
import { Versions } from './versions.ts'
import { WarmSessions } from './warm-sessions.ts'

/** Events of one session that are committed together at most, and that may wait for their turn. */
const MAX_TURN = 64
const MAX_WAITING = 1000
const DRAIN_POLL_MS = 10
/** Between warnings of functions that fail at each transition. */
const REDACTION_WARNING_MS = 60_000
const NOBODY: Caller = { principal: null, origin: null }

export interface SessionHostOptions extends HostLimits {
  readonly store: SessionStore
  readonly registry: Registry
  readonly sink: UpdateSink
  readonly clock: Clock
  readonly log: Logger
  readonly warmSessions: number
  readonly sessionTtlMs: number | null
  /** Called after each commit, with the session it wrote; must return at once. */
  readonly onCommitted: (id: SessionId) => void
  /** A partition has something for a definition that this process does not know. */
  readonly onUnknown: (partition: number) => void
  /** Why no writes are taken now; `null` and by default: they are. */
  readonly refusal?: (() => string | null) | undefined
  /** Called after a commit that left timers armed; must return at once. */
  readonly onTimers: (record: SessionRecord) => void
}

export class SessionHost implements SessionService {
  readonly #parts: HostParts
  readonly #registry: Registry
  readonly #permissions: Permissions
  readonly #sessionTtlMs: number | null
  readonly #mailboxes = new Map<SessionId, Mailbox<Item>>()
  readonly #promises: PromiseActors
  readonly #postman: Postman
  #numbers = 0
  #isDraining = false

  constructor(options: SessionHostOptions) {
    const { store, registry, sink, clock, log, onCommitted, onTimers } = options
    this.#registry = registry
    this.#sessionTtlMs = options.sessionTtlMs
    const versions = new Versions({ registry, store, clock, log })
    this.#permissions = new Permissions({ registry, versions, log })
    this.#parts = {
      store,
      versions,
      permissions: this.#permissions,
      sink,
      clock,
      log,
      warnOfRedaction: rateLimited(log, REDACTION_WARNING_MS),
      onCommitted,
      onTimers,
      onRuns: (record, live, before, isNewest) => this.#promises.sync(record, live, before, isNewest),
      onEnded: (id, at) => this.ended(id, at),
      onMail: (from) => this.#postman.notify(partitionOf(from)),
      committer: new Committer(store, clock, log, options.refusal),
      warm: new WarmSessions(options.warmSessions),
      limits: { maxSessionBytes: options.maxSessionBytes, maxEventBytes: options.maxEventBytes },
      nextNumber: () => ++this.#numbers,
    }
    this.#promises = new PromiseActors(this.#parts, (id, compute) => this.#takeInternal(id, compute))
    this.#postman = new Postman({
      store,
      clock,
      log,
      take: (id, order) => this.#take(id, order),
      onUnknown: options.onUnknown,
    })
  }

  /** Tells the other processes what is served here. Call once the store is connected. */
  async start(): Promise<void> {
    await this.#parts.versions.start()
  }

  async create(request: CreateRequest, caller: Caller): Promise<{ created: boolean; record: SessionRecord }> {
    this.#admit()
    const { machine, key } = request
    const kernel = this.#registry.newest(machine)
    const inputText = request.input === undefined ? null : textOf(request.input, 'input')
    this.#checkSize(inputText ?? '', 'input')
    const input = kernel.admitInput(
      inputText === null || caller.origin !== null ? request.input : JSON.parse(inputText),
    )
    if (request.ttlMs !== undefined && !isLifetime(request.ttlMs)) {
      throw new TroupeError(
        'invalid_params',
        'ttlMs: must be a positive whole number of milliseconds up to 100 years, or null for no limit',
      )
    }
    const { definition } = kernel
    const ttlMs = firstDefined(request.ttlMs, definition.ttlMs, this.#sessionTtlMs)
    const id = creationId(request, caller.principal)
    this.#permissions.checkCreation(kernel, caller, id, input)
    return this.#wait<{ created: boolean; record: SessionRecord }>(id, (resolve, reject) => ({
      kind: 'create',
      caller,
      kernel,
      input,
      ttlMs,
      doneTtlMs: firstDefined(definition.doneTtlMs, ttlMs),
      // The id of a session that was created with nothing but a key is known to its creator alone.
      ifExists: request.ifExists ?? (request.id === undefined && key !== undefined ? 'return' : 'error'),
      keyText: key,
      key: key === undefined ? null : commandKey(caller.principal, key, `${machine}\n${inputText ?? ''}`),
      resolve,
      reject,
    }))
  }

  async get(id: SessionId, caller: Caller = NOBODY): Promise<SessionRecord | null> {
    checkAccess(caller.principal, 'get', id)
    const record = await this.#read(id)
    if (record !== null) this.#permissions.check(record, caller, 'get')
    return record
  }

  async #read(id: SessionId): Promise<SessionRecord | null> {
    try {
      return await this.#parts.store.read(id)
    } catch (error) {
      throw readError(error)
    }
  }

  async update(request: UpdateRequest, caller: Caller): Promise<UpdateResult> {
    this.#admit()
    checkAccess(caller.principal, 'update', request.id)
    const event = textOf(request.event, 'event')
    this.#checkSize(event, 'event')
    const key = request.key === undefined ? null : commandKey(caller.principal, request.key, event)
    // What comes over no connection is the caller's own object, and may change after the call.
    const own =
      caller.origin === null ? { ...request, event: JSON.parse(event) as UpdateRequest['event'] } : request
    return this.#wait<UpdateResult>(request.id, (resolve, reject) => ({
      kind: 'update',
      caller,
      request: own,
      event,
      key,
      resolve,
      reject,
    }))
  }

  async delete(id: SessionId, caller: Caller): Promise<boolean> {
    this.#admit()
    checkAccess(caller.principal, 'delete', id)
    return this.#wait<boolean>(id, (resolve, reject) => ({ kind: 'delete', caller, resolve, reject }))
  }

  async broadcast(id: SessionId, message: unknown, caller: Caller = NOBODY): Promise<void> {
    this.#admit()
    checkAccess(caller.principal, 'broadcast', id)
    const text = textOf(message, 'message')
    this.#checkSize(text, 'message')
    if (this.#permissions.asks(caller)) {
      const record = await this.#read(id)
      // Nobody hears of a session that there is not, and nobody can be asked.
      if (record === null) return
      this.#permissions.check(record, caller, 'broadcast', { message })
    }
    try {
      await this.#parts.store.broadcast(id, text)
    } catch (error) {
      throw readError(error)
    }
  }

  encodeView(record: SessionRecord, principal: Principal | null): string {
    const { kernel, record: shown } = this.#parts.versions.shown(record)
    return kernel.encodeView(shown, principal)
  }

  stateOf(record: SessionRecord): PublicState {
    return JSON.parse(this.#parts.versions.shown(record).record.state) as PublicState
  }

  checkUntil(record: SessionRecord, until: Until): void {
    const { kernel } = this.#parts.versions.shown(record)
    checkUntil(until, kernel.definition.machine, this.#registry.migrationOf(record)?.definition.machine)
  }

  keepsHistory(record: SessionRecord): boolean {
    return this.#parts.versions.historyOf(record) > 0
  }

  /** Principals of the same group see a record alike. @throws TroupeError as `encodeView` */
  viewGroup(record: SessionRecord, principal: Principal | null): string {
    const { kernel, record: shown } = this.#parts.versions.shown(record)
    return kernel.viewKey(shown, principal)
  }

  /** How subscribers of this session are shown to each other; `null`: not at all. */
  memberOf(record: SessionRecord): ((client: string, principal: Principal | null) => string) | null {
    return this.#registry.hasPresence ? presenceOf(this.#parts, record) : null
  }

  /** See {@link Permissions.screen}. */
  screen(record: SessionRecord): Screen | null {
    return this.#permissions.screen(record)
  }

  /** See {@link WarmSessions.shared}. */
  shared(record: SessionRecord): SessionRecord {
    return this.#parts.warm.shared(record)
  }

  /** Another process has committed. */
  observe(record: SessionRecord): void {
    this.#parts.warm.observe(record)
    this.#promises.observe(record)
  }

  /** Lets the timers of a session fire that are due. @throws TroupeError `unavailable`, `contention`, … */
  async fire(id: SessionId, downtime: Downtime | null = null): Promise<void> {
    if (this.#isDraining) return
    await this.#takeInternal(id, timerStep(this.#parts, downtime))
  }

  /** Delivers what sessions of a partition have sent and another process has left behind. */
  deliver(partition: number): void {
    this.#postman.sweep(partition)
  }

  /** Takes over the promise actors of a session that `node` ran and runs no more. @throws TroupeError */
  async takeOver(id: SessionId, node: string): Promise<void> {
    if (!this.#isDraining) await this.#promises.takeOver(id, node)
  }

  /** Ends a session whose time is over; nothing happens if it is not. @throws StoreFailure */
  expire(id: SessionId): Promise<void> {
    return endExpired(this.#parts, id)
  }

  /** Refuses new work and resolves once all mailboxes are empty, or after `deadlineMs`. @returns what was left over */
  async drain(deadlineMs: number): Promise<number> {
    this.#isDraining = true
    this.#postman.stop()
    this.#promises.stop()
    const { clock } = this.#parts
    const deadline = clock.now() + deadlineMs
    const isBusy = (): boolean => this.#mailboxes.size > 0 || !this.#postman.isIdle
    while (isBusy() && clock.now() < deadline) await sleep(clock, DRAIN_POLL_MS)
    await farewell(
      clock,
      deadline,
      this.#promises.handOver().then(() => this.#parts.versions.stop()),
    )
    return this.#mailboxes.size
  }

  /** The session has ended at this position, here or elsewhere: its promise actors are aborted. */
  ended(id: SessionId, at: Position): void {
    this.#promises.ended(id, at)
  }

  async #take(id: SessionId, order: MailOrder): Promise<MailOutcome> {
    const turn = mailTurn(this.#parts, order)
    const isThere = await this.#takeInternal(id, turn.compute)
    if (isThere) return turn.outcome()
    return { delivery: { reason: 'not_found', message: `there is no session "${id}"` }, had: {} }
  }

  /** @returns whether there is such a session */
  #takeInternal(id: SessionId, compute: ComputeStep): Promise<boolean> {
    return this.#wait<boolean>(id, (resolve, reject) => ({ kind: 'internal', compute, resolve, reject }))
  }

  #admit(): void {
    if (this.#isDraining)
      throw new TroupeError('draining', 'this process is about to leave; reconnect and send it again')
  }

  #checkSize(text: string, what: string): void {
    const limit = this.#parts.limits.maxEventBytes
    if (text.length > limit)
      throw new TroupeError('too_large', `the ${what} has ${text.length} bytes, the limit is ${limit}`)
  }

  /** @param item the whole item: a literal made at once costs a tenth of one that is copied to be completed */
  #wait<Result>(
    id: SessionId,
    item: (resolve: (result: Result) => void, reject: (error: unknown) => void) => Item,
  ): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      const mailbox = this.#mailbox(id)
      if (mailbox.length >= MAX_WAITING) {
        reject(new TroupeError('contention', `${MAX_WAITING} requests wait for session "${id}" here already`))
        return
      }
      mailbox.push(item(resolve, reject))
    })
  }

  #mailbox(id: SessionId): Mailbox<Item> {
    let mailbox = this.#mailboxes.get(id)
    if (mailbox === undefined) {
      const whenEmpty = (): void => void this.#mailboxes.delete(id)
      mailbox = new Mailbox<Item>((items) => this.#takeTurn(id, items), fitsTurn, whenEmpty)
      this.#mailboxes.set(id, mailbox)
    }
    return mailbox
  }

  async #takeTurn(id: SessionId, items: readonly Item[]): Promise<void> {
    const [first] = items
    try {
      if (first?.kind === 'create') await takeCreateTurn(this.#parts, id, first)
      else if (first?.kind === 'delete') await takeDeleteTurn(this.#parts, id, first)
      else if (first?.kind === 'internal') {
        first.resolve(await takeInternalTurn(this.#parts, id, first.compute))
      } else
        await takeUpdateTurn(
          this.#parts,
          id,
          items.filter((item) => item.kind === 'update'),
        )
    } catch (error) {
      const refusal = failureError(error)
      // What became of it is not known: what is held here may be behind.
      if (!(refusal instanceof TroupeError) || refusal.code === 'timeout') this.#parts.warm.delete(id)
      if (!(refusal instanceof TroupeError)) this.#parts.log.error({ id, error: refusal }, 'a turn failed')
      for (const item of items) item.reject(refusal)
    }
  }
}

/** Updates go together; two with the same key do not, so that the second is seen to be a repetition. */
function fitsTurn(turn: readonly Item[], next: Item): boolean {
  if (next.kind !== 'update' || turn[0]?.kind !== 'update' || turn.length >= MAX_TURN) return false
  const digest = next.key?.digest
  return digest === undefined || !turn.some((item) => item.kind === 'update' && item.key?.digest === digest)
}

function creationId({ id, key }: CreateRequest, principal: Principal | null): SessionId {
  const text = id ?? (key === undefined ? randomUUID() : idFromKey(principal, key))
  const parsed = parseSessionId(text)
  if (parsed !== null) return parsed
  throw new TroupeError(
    'invalid_params',
    'id: must be 1 to 128 letters, digits or _ . : @ ~ -, and begin with a letter or digit',
  )
}

function firstDefined<T>(...values: (T | undefined)[]): T {
  return values.find((value) => value !== undefined) as T
}

/** A read has no effect to be unknown about. */
function readError(error: unknown): unknown {
  const refusal = failureError(error)
  return refusal instanceof TroupeError && refusal.code === 'timeout'
    ? new TroupeError('unavailable', 'Redis did not answer in time', { cause: error })
    : refusal
}
