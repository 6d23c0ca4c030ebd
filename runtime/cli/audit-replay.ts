/** `audit replay`: whether what is recorded of sessions leads to the states that are stored, and would under another version. */
import { resolve } from 'node:path'
import { builtinDefinitions } from '../../actors/lifecycles/builtin.ts'
import { Registry } from '../../actors/registry.ts'
import { loadDefinitions } from '../definitions/load-definitions.ts'
import { addReport, describeReport, describeSum, jsonOfReport, jsonOfSum } from '../replay/describe-replay.ts'
import type { ReplaySum } from '../replay/describe-replay.ts'
import { replaySessions } from '../replay/replay-sessions.ts'
import type { ReplayOptions, SessionReport } from '../replay/session-replay.ts'
import { Worlds } from '../replay/worlds.ts'
import { EXIT_CANNOT, EXIT_FINDINGS, EXIT_WHOLE, numberOf, textOf, Unusable } from './audit-command.ts'
import type { Asked, AuditCommand } from './audit-command.ts'
import { say } from './audit-output.ts'

export const replayCommand: AuditCommand = {
  usage:
    'replay ID… | --machine NAME [--limit N]  [DEFINITION FILES…] [--as VERSION [--migrate-after VERSION]] [--states-only] [--json]',
  options: {
    machine: { type: 'string' },
    limit: { type: 'string' },
    as: { type: 'string' },
    'migrate-after': { type: 'string' },
    'states-only': { type: 'boolean' },
    json: { type: 'boolean' },
  },
  positionals: { least: 0, most: Infinity, what: '' },
  run: runReplay,
}

const DEFAULT_LIMIT = 100
/** Of many sessions, those that diverged are told one by one up to this number. */
const MAX_TOLD = 20

async function runReplay({ database, values, positionals }: Asked): Promise<number> {
  const files = positionals.filter(isFile)
  const ids = positionals.filter((word) => !isFile(word))
  const machine = textOf(values, 'machine')
  if (ids.length === 0 && machine === undefined)
    throw new Unusable(`say which sessions: their ids, or --machine NAME: ${replayCommand.usage}`)
  if (ids.length > 0 && machine !== undefined)
    throw new Unusable(`say ids or --machine, not both: "${ids[0] ?? ''}" is an id, and no definition file`)
  const limit = numberOf(values, 'limit', 1)
  if (limit !== undefined && machine === undefined) throw new Unusable('--limit is of --machine')
  const which = machine === undefined ? { ids } : { machine, limit: limit ?? DEFAULT_LIMIT }
  const teller = new Teller(values['json'] === true, machine === undefined, numberOf(values, 'as') ?? null)
  // Before definitions are loaded: their modules may take a clock for themselves.
  const worlds = Worlds.install()
  try {
    const options = await readOptions(values, files, machine)
    await replaySessions(database, which, options, worlds, (report) => teller.tell(report))
  } finally {
    worlds.uninstall()
  }
  return teller.end(machine)
}

/** Ids hold no slash; what looks like both is a file. */
function isFile(word: string): boolean {
  return word.includes('/') || word.startsWith('.') || /\.[mc]?[jt]s$/.test(word)
}

async function readOptions(
  values: Asked['values'],
  files: readonly string[],
  machine: string | undefined,
): Promise<ReplayOptions> {
  const as = numberOf(values, 'as') ?? null
  const migrateAfter = numberOf(values, 'migrate-after') ?? null
  if (migrateAfter !== null && as === null)
    throw new Unusable('--migrate-after says when sessions are migrated to the version of --as: give both')
  const registry = new Registry()
  for (const definition of builtinDefinitions) registry.register(definition)
  // npm runs scripts in the package's folder, and tells in INIT_CWD where its caller stood.
  const from = process.env['INIT_CWD'] ?? '.'
  await loadDefinitions(
    files.map((file) => resolve(from, file)),
    registry,
  )
  if (machine !== undefined) {
    const loaded = registry.versions()[machine]
    if (loaded === undefined)
      throw new Unusable(`no definition "${machine}" is loaded; there are ${registry.names().join(', ')}`)
    if (as !== null && !loaded.includes(as))
      throw new Unusable(`"${machine}" version ${as} is not loaded; there are ${loaded.join(', ')}`)
  }
  return { registry, as, migrateAfter, statesOnly: values['states-only'] === true }
}

/** Tells what replays came to, and keeps the sum. */
class Teller {
  readonly #isJson: boolean
  /** Whether each session was asked for by its name: then each is told of, and one that cannot be replayed is an error. */
  readonly #isNamed: boolean
  readonly #sum: ReplaySum = {
    sessions: 0,
    diverged: 0,
    rows: 0,
    equal: 0,
    ends: 0,
    withoutRows: 0,
    underAs: 0,
    notComparable: new Map(),
  }
  readonly #as: number | null
  /** The first session that the audit holds nothing of. */
  #unknown: string | null = null

  constructor(isJson: boolean, isNamed: boolean, as: number | null) {
    this.#isJson = isJson
    this.#isNamed = isNamed
    this.#as = as
  }

  async tell(report: SessionReport): Promise<void> {
    const { sessionId, rows, notComparable, divergence } = report
    const unloaded = notComparable.get('version')
    if (this.#isNamed && unloaded !== undefined)
      throw new Unusable(
        `version ${unloaded.version} of session "${sessionId}" needs ${unloaded.detail ?? 'a definition'}, which is not loaded: name its file`,
      )
    addReport(this.#sum, report)
    if (rows === 0) {
      this.#unknown ??= sessionId
      return
    }
    if (this.#isJson) await say(JSON.stringify(jsonOfReport(report)))
    else if (this.#isNamed || (divergence !== null && this.#sum.diverged <= MAX_TOLD))
      for (const line of describeReport(report, this.#as)) await say(line)
  }

  /** @returns the exit code: where nothing at all could be compared, nothing was proven. */
  async end(machine: string | undefined): Promise<number> {
    const sum = this.#sum
    if (sum.sessions === 0) throw new Unusable(`the audit holds no sessions of "${machine ?? ''}"`)
    if (this.#isJson) await say(JSON.stringify(jsonOfSum(sum)))
    else if (sum.sessions - sum.withoutRows > 1 || !this.#isNamed)
      for (const line of describeSum(sum)) await say(line)
    // The others were replayed all the same. Where nobody named them, retention has left only their heads.
    if (this.#isNamed && this.#unknown !== null)
      throw new Unusable(`the audit holds nothing of a session "${this.#unknown}"`)
    if (sum.diverged > 0) return EXIT_FINDINGS
    const isUntried = this.#as !== null && sum.underAs === 0
    if (sum.equal > 0 && !isUntried) return EXIT_WHOLE
    if (!this.#isJson && sum.equal === 0) await say('Nothing could be compared.')
    else if (!this.#isJson && isUntried) await say(`Nothing ran under version ${this.#as}.`)
    return EXIT_CANNOT
  }
}
