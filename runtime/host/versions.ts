/**
 * Which versions of definitions this process serves, and which the others do: by it is decided what a session is computed with.
 * A session of an older version is migrated once every process that serves its definition knows the newer one, so that nobody is
 * left with sessions that it cannot serve; until then it goes on as it is.
 */
import { TroupeError, messageOf } from '../../actors/errors.ts'
import type { Kernel } from '../../actors/kernel.ts'
import type { Clock, Logger, ServedVersions, SessionStore } from '../../actors/ports.ts'
import type { Registry } from '../../actors/registry.ts'
import { isActive } from '../../actors/session.ts'
import type { SessionRecord } from '../../actors/session.ts'
import { TOLD_MS } from '../../persistence/store-times.ts'

/** Which definition computes a session. */
type DefinitionVersion = Pick<SessionRecord, 'machine' | 'machineVersion'>

const ANNOUNCE_MS = 5000
/** By then all processes know who serves what, after one has come or gone. */
export const ALL_TOLD_MS = TOLD_MS + ANNOUNCE_MS

export interface VersionsOptions {
  readonly registry: Registry
  readonly store: Pick<SessionStore, 'announce'>
  readonly clock: Clock
  readonly log: Logger
}

export class Versions {
  readonly #options: VersionsOptions
  #others: readonly ServedVersions[] = []
  #toldAtMs = -Infinity
  #timer: { cancel(): void } | null = null
  #isStopped = false
  /** Migrated records that were shown and not written. */
  readonly #migrated = new WeakMap<SessionRecord, SessionRecord>()

  constructor(options: VersionsOptions) {
    this.#options = options
  }

  /** Tells the others, and again from time to time. */
  async start(): Promise<void> {
    await this.#announce()
    if (this.#isStopped) return
    this.#timer = this.#options.clock.setTimeout(() => void this.start(), ANNOUNCE_MS)
  }

  /** This process serves nothing any more. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#timer?.cancel()
    await this.#options.store.announce(null).catch(() => undefined)
  }

  /**
   * What computes a session as it is stored.
   * @throws TroupeError `unknown_machine_version`
   */
  kernelOf(session: DefinitionVersion): Kernel {
    return this.#options.registry.kernelOf(session) ?? this.#refuse(session)
  }

  /** How many of its last commits a session keeps. */
  historyOf(session: DefinitionVersion): number {
    return this.#options.registry.historyOf(session)
  }

  /** What the session is to be migrated by before anything else; `null`: nothing, or not yet. */
  migrationOf(record: SessionRecord): Kernel | null {
    const kernel = this.#options.registry.migrationOf(record)
    return kernel !== null && isActive(record) && this.#isKnownToAll(kernel) ? kernel : null
  }

  /**
   * The record as this process shows it: migrated where the next event would migrate it, or where it cannot be shown otherwise; one
   * that has ended only where its own version is not served. Nothing is written.
   * @throws TroupeError `unknown_machine_version`; `internal` if `migrate` fails
   */
  shown(record: SessionRecord): { readonly kernel: Kernel; readonly record: SessionRecord } {
    const { registry } = this.#options
    const own = registry.kernelOf(record)
    const migrating = registry.migrationOf(record)
    if (migrating === null || (own !== null && this.migrationOf(record) === null))
      return { kernel: own ?? this.#refuse(record), record }
    let migrated = this.#migrated.get(record)
    if (migrated === undefined) {
      const { state, internals } = migrating.migrate(record)
      migrated = { ...record, machineVersion: migrating.definition.version, state, internals }
      this.#migrated.set(record, migrated)
    }
    return { kernel: migrating, record: migrated }
  }

  async #announce(): Promise<void> {
    const { registry, store, clock, log } = this.#options
    try {
      const others = await store.announce(registry.versions())
      this.#others = others
      this.#toldAtMs = clock.now()
    } catch (error) {
      log.debug({ reason: messageOf(error) }, 'the versions served here could not be announced')
    }
  }

  /** Whether this process serves whatever the others do: what it does not serve may have rules that it does not know. */
  get servesAll(): boolean {
    const { registry, clock } = this.#options
    if (clock.now() - this.#toldAtMs > TOLD_MS) return false
    return this.#others.every((served) =>
      Object.entries(served).every(([machine, versions]) =>
        versions.every((machineVersion) => registry.kernelOf({ machine, machineVersion }) !== null),
      ),
    )
  }

  #isKnownToAll({ definition: { name, version } }: Kernel): boolean {
    if (this.#options.clock.now() - this.#toldAtMs > TOLD_MS) return false
    return this.#others.every((served) => served[name]?.includes(version) ?? true)
  }

  #refuse(session: DefinitionVersion): never {
    const { machine, machineVersion } = session
    const what = `the session belongs to "${machine}" version ${machineVersion}, which is not served here`
    const { registry } = this.#options
    const isElsewhere = this.#others.some((served) => served[machine]?.includes(machineVersion) ?? false)
    const more = isElsewhere
      ? '; another process serves it: connect again'
      : registry.migrationOf(session) !== null
        ? '; it is migrated once all processes know a newer one'
        : this.#adviseOn(session)
    throw new TroupeError(
      'unknown_machine_version',
      what + more,
      isElsewhere ? { details: { elsewhere: true } } : {},
    )
  }

  #adviseOn({ machine, machineVersion }: DefinitionVersion): string {
    const newest = Math.max(0, ...(this.#options.registry.versions()[machine] ?? []))
    if (newest <= machineVersion) return ''
    return `; version ${newest} is, but has no \`migrate\`: give it one, or serve version ${machineVersion} beside it`
  }
}
