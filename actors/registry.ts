/** The definitions that a process serves, checked once when they are registered. */
import type { AnyStateMachine } from 'xstate'
import { problemOfMachine } from './check-machine.ts'
import { isLifetime, isSessionDefinition } from './define-session.ts'
import type { ActorPolicy, SessionDefinition } from './define-session.ts'
import { TroupeError } from './errors.ts'
import { Kernel } from './kernel.ts'
import { hasPresence } from './presence-member.ts'
import { problemOfAuditPolicy } from './redaction.ts'
import { findUnstorable } from './storable.ts'

const MEMBERS = new Set([
  'name',
  'version',
  'machine',
  'events',
  'input',
  'ttlMs',
  'doneTtlMs',
  'context',
  'output',
  'emitted',
  'view',
  'viewKey',
  'migrate',
  'authorize',
  'actors',
  'overdueTimers',
  'history',
  'presence',
  'audit',
  'kind',
] satisfies (keyof SessionDefinition)[] as string[])
const MAX_HISTORY = 1000
/** What an integer of PostgreSQL holds: a greater one could not be audited. */
const MAX_VERSION = 2 ** 31 - 1
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/

/** Which definition a session belongs to. */
interface DefinitionVersion {
  readonly machine: string
  readonly machineVersion: number
}

export class Registry {
  readonly #versions = new Map<string, Map<number, Kernel>>()
  readonly #newest = new Map<string, Kernel>()
  /** The newest that can migrate. */
  readonly #migrating = new Map<string, Kernel>()
  #hasRules = false
  #hasPresence = false
  readonly #log: (details: object, message: string) => void

  /** @param log receives what machines say with XState's `log` action */
  constructor(log: (details: object, message: string) => void = () => undefined) {
    this.#log = log
  }

  /**
   * @param replaces whether it may take the place of another one of its name and version
   * @throws Error with name and reason if the definition cannot work, or is registered already
   */
  register(candidate: unknown, replaces = false): void {
    const definition = checkDefinition(candidate)
    const { name, version } = definition
    const versions = this.#versions.get(name) ?? new Map<number, Kernel>()
    if (versions.has(version) && !replaces)
      throw new Error(
        `definition "${name}" version ${version} is registered twice: a name belongs to one definition, also those that come with Troupe`,
      )
    const kernel = new Kernel(definition, (...parts) =>
      this.#log({ machine: name, version }, parts.map(String).join(' ')),
    )
    versions.set(version, kernel)
    if (definition.authorize !== undefined) this.#hasRules = true
    if (hasPresence(definition)) this.#hasPresence = true
    this.#versions.set(name, versions)
    const isNewest = (kernels: Map<string, Kernel>): boolean =>
      version >= (kernels.get(name)?.definition.version ?? 0)
    if (isNewest(this.#newest)) this.#newest.set(name, kernel)
    if (definition.migrate !== undefined && isNewest(this.#migrating)) this.#migrating.set(name, kernel)
  }

  /** Whether any definition has a rule: without one, nothing need be read to ask it. */
  get hasRules(): boolean {
    return this.#hasRules
  }

  /** Whether any definition has presence: without one, nobody asks which. */
  get hasPresence(): boolean {
    return this.#hasPresence
  }

  names(): string[] {
    return [...this.#versions.keys()]
  }

  /** All versions, by name. */
  versions(): Record<string, number[]> {
    return Object.fromEntries([...this.#versions].map(([name, kernels]) => [name, [...kernels.keys()]]))
  }

  /** The kernel that new sessions get. @throws TroupeError `unknown_machine` */
  newest(name: string): Kernel {
    const kernel = this.#newest.get(name)
    if (kernel === undefined) {
      const known = this.names().join(', ')
      throw new TroupeError('unknown_machine', `no definition "${name}" is served here; there are: ${known}`)
    }
    return kernel
  }

  /** The kernel that a stored session belongs to; `null`: its version is not served here. */
  kernelOf({ machine, machineVersion }: DefinitionVersion): Kernel | null {
    return this.#versions.get(machine)?.get(machineVersion) ?? null
  }

  /** The kernel of a newer version that a stored session can be migrated to; `null`: there is none. */
  migrationOf({ machine, machineVersion }: DefinitionVersion): Kernel | null {
    const kernel = this.#migrating.get(machine)
    return kernel !== undefined && kernel.definition.version > machineVersion ? kernel : null
  }

  /** How many commits a session of this version of a definition keeps. */
  historyOf(session: DefinitionVersion): number {
    return this.kernelOf(session)?.definition.history ?? 0
  }
}

function checkDefinition(candidate: unknown): SessionDefinition {
  if (!isSessionDefinition(candidate))
    throw new Error('is not a definition: make it with defineSession({ name, version, machine })')
  const { name, version, machine, ttlMs, doneTtlMs } = candidate
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new Error(`name ${JSON.stringify(name)}: must be a letter and up to 63 letters, digits, "-", "_"`)
  }
  const refuse = (reason: string): never => {
    throw new Error(`definition "${name}": ${reason}`)
  }
  if (!Number.isSafeInteger(version) || version < 1 || version > MAX_VERSION)
    refuse(`version must be a whole number from 1 to ${MAX_VERSION}, and is ${JSON.stringify(version)}`)
  if (!isMachine(machine))
    refuse('machine must come from XState 5: createMachine(…) or setup(…).createMachine(…)')
  for (const [option, ms] of Object.entries({ ttlMs, doneTtlMs })) {
    if (ms !== undefined && !isLifetime(ms)) {
      refuse(
        `${option} must be a positive whole number of milliseconds up to 100 years, or null for no limit`,
      )
    }
  }
  for (const option of ['events', 'input', 'context', 'output', 'emitted'] as const) {
    const schema: unknown = candidate[option]
    if (schema !== undefined && !hasStandardSchema(schema)) {
      refuse(`${option} must be a Standard Schema (zod, valibot, ArkType, …)`)
    }
  }
  for (const option of ['view', 'viewKey', 'migrate', 'authorize'] as const) {
    const given: unknown = candidate[option]
    if (given !== undefined && typeof given !== 'function') refuse(`${option} must be a function`)
  }
  const { overdueTimers = 'deadline', history = 0 } = candidate
  const presence: unknown = candidate.presence ?? false
  if (typeof presence !== 'boolean' && typeof presence !== 'function')
    refuse('presence must be true, false or a function of the principal')
  const wrongAudit = problemOfAuditPolicy(candidate.audit)
  if (wrongAudit !== null) refuse(wrongAudit)
  if (!Number.isSafeInteger(history) || history < 0 || history > MAX_HISTORY)
    refuse(`history must be a whole number from 0 to ${MAX_HISTORY}`)
  if (!['deadline', 'remaining', 'restart'].includes(overdueTimers))
    refuse(`overdueTimers must be "deadline", "remaining" or "restart"`)
  for (const member of Object.keys(candidate)) {
    if (!MEMBERS.has(member))
      refuse(`${member} is no member of a definition; there are: ${[...MEMBERS].join(', ')}`)
  }
  for (const [src, policy] of Object.entries(candidate.actors ?? {})) {
    const wrong = problemOfPolicy(policy)
    if (wrong !== null) refuse(`actors.${src}: ${wrong}`)
    if (!(src in machine.implementations.actors)) refuse(`actors.${src}: the machine has no such actor`)
  }
  const problem = problemOfMachine(machine)
  if (problem !== null) refuse(problem)
  const context: unknown = machine.config.context
  const unstorable = typeof context === 'object' ? findUnstorable(context, 'context') : null
  if (unstorable !== null)
    refuse(
      `what cannot be stored as JSON in its context, ${unstorable}: keep a number, a text or a plain object instead`,
    )
  return candidate
}

function problemOfPolicy(policy: ActorPolicy): string | null {
  const { onCrash, ...numbers } = policy
  if (onCrash !== undefined && onCrash !== 'retry' && onCrash !== 'fail')
    return 'onCrash must be "retry" or "fail"'
  for (const [name, value] of Object.entries(numbers)) {
    if (name !== 'attempts' && name !== 'backoffMs' && name !== 'timeoutMs')
      return `${name} is no policy; there are: onCrash, attempts, backoffMs, timeoutMs`
    if (!Number.isSafeInteger(value) || value < 1 || value > 2 ** 31 - 1)
      return `${name} must be a positive whole number below 2^31`
  }
  return null
}

function isMachine(value: unknown): value is AnyStateMachine {
  const machine = value as
    { transition?: unknown; restoreSnapshot?: unknown; config?: unknown } | null | undefined
  return (
    typeof machine?.transition === 'function' &&
    typeof machine.restoreSnapshot === 'function' &&
    typeof machine.config === 'object'
  )
}

function hasStandardSchema(value: unknown): boolean {
  const schema = value as { '~standard'?: { validate?: unknown } } | null
  return typeof schema?.['~standard']?.validate === 'function'
}
