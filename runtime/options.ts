import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { defaultText, environmentName, flagName, optionNames, optionTable } from './option-table.ts'
import type { OptionName, Options } from './option-table.ts'
import type { Option } from './option-kinds.ts'
import { optionsHelp } from './options-reference.ts'

export type { Options } from './option-table.ts'

/** Options that cannot be used; the message has a line for each. */
export class OptionsError extends Error {
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'OptionsError'
    this.problems = problems
  }
}

export interface ParsedOptions {
  readonly options: Options
  /** Definition files and folders, absolute. */
  readonly files: string[]
  /** The text to print instead of doing anything, when `--help` was given. */
  readonly help: string | null
}

/**
 * Reads options from the command line, then from the environment, then from the table's defaults. An environment
 * variable that is empty counts as not set.
 *
 * @param argv arguments behind the script's name.
 * @throws OptionsError with all that is wrong.
 */
export function parseOptions(
  argv: readonly string[] = process.argv.slice(2),
  env: Readonly<Record<string, string | undefined>> = process.env,
): ParsedOptions {
  const { flags, paths, help, problems } = readArguments(argv)
  // npm runs scripts in the package's folder, and tells in INIT_CWD where its caller stood.
  const files = paths.map((path) => resolve(env['INIT_CWD'] ?? '.', path))
  const given: Given[] = []
  for (const name of optionNames) {
    const variable = environmentName(name)
    const fromFlag = flags.get(name)
    const fromEnvironment = env[variable]
    if (fromFlag !== undefined) given.push({ name, source: flagName(name), value: fromFlag })
    else if (fromEnvironment) given.push({ name, source: variable, value: fromEnvironment })
  }
  const options = assemble(given, problems)
  if (help) return { options: assemble([], []), files, help: optionsHelp() }
  if (problems.length > 0) throw new OptionsError(problems)
  return { options, files, help: null }
}

/**
 * Options given in code, completed with the defaults and checked like those of the command line.
 * @throws OptionsError also for names that do not exist.
 */
export function completeOptions(partial: Partial<Options>): Options {
  const given: Given[] = []
  const problems: string[] = []
  for (const [name, value] of Object.entries(partial) as [OptionName, unknown][]) {
    if (value === undefined) continue
    if (Object.hasOwn(optionTable, name)) given.push({ name, source: name, value })
    else problems.push(`${name}: there is no such option.${suggestion(name, optionNames)}`)
  }
  const options = assemble(given, problems)
  if (problems.length > 0) throw new OptionsError(problems)
  return options
}

interface Given {
  readonly name: OptionName
  /** Where it was found, in the user's words. */
  readonly source: string
  readonly value: unknown
}

function assemble(given: readonly Given[], problems: string[]): Options {
  const values = new Map<string, unknown>(optionNames.map((name) => [name, optionTable[name].default]))
  for (const { name, source, value } of given) {
    const option: Option<unknown> = optionTable[name]
    const parsed = option.schema.safeParse(value)
    if (parsed.success) {
      values.set(name, parsed.data)
      continue
    }
    const shown = option.secret ? '' : ` ${JSON.stringify(value)}`
    problems.push(
      `${source}: the value${shown} cannot be used; it must be ${option.allowed} (default: ${defaultText(name)}).`,
    )
  }
  const options = Object.fromEntries(values) as unknown as Options
  if (options.maxBacklogBytes < options.maxBufferedBytes) {
    problems.push(
      `${flagName('maxBacklogBytes')} (${String(options.maxBacklogBytes)}) must not be less than ` +
        `${flagName('maxBufferedBytes')} (${String(options.maxBufferedBytes)}).`,
    )
  }
  if ((options.tlsCert === null) !== (options.tlsKey === null))
    problems.push(`${flagName('tlsCert')} and ${flagName('tlsKey')} go together: give both, or none.`)
  if ((options.authAudience ?? options.authIssuer) !== null && !takesTokens(options)) {
    problems.push(
      `${flagName('authAudience')} and ${flagName('authIssuer')} need ${flagName('authSecret')} or ${flagName('authJwks')}: no tokens are taken.`,
    )
  }
  return options
}

/** Whether clients authenticate by tokens. */
export function takesTokens({ authSecret, authJwks }: Pick<Options, 'authSecret' | 'authJwks'>): boolean {
  return authSecret !== null || authJwks !== null
}

function readArguments(argv: readonly string[]) {
  const flags = new Map<OptionName, string>()
  const paths: string[] = []
  const problems: string[] = []
  let help = false
  const byFlag = new Map(optionNames.map((name) => [flagName(name).slice(2), name]))
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries([...byFlag.keys()].map((name) => [name, { type: 'string' as const }])),
    // Its own complaints stop at the first mistake and know no defaults.
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  for (const token of tokens) {
    if (token.kind === 'positional') paths.push(token.value)
    if (token.kind !== 'option') continue
    const name = byFlag.get(token.name)
    if (token.name === 'help' || token.name === 'h') help = true
    else if (name === undefined) problems.push(unknownFlag(token.rawName, [...byFlag.keys()]))
    else if (token.value) flags.set(name, token.value)
    else
      problems.push(
        `${token.rawName}: the value is missing; write ${token.rawName}=… with ${optionTable[name].allowed}.`,
      )
  }
  return { flags, paths, problems, help }
}

function unknownFlag(flag: string, names: readonly string[]): string {
  const candidates = names.map((name) => `--${name}`)
  return `${flag}: there is no such option.${suggestion(flag, candidates)} \`--help\` lists them all.`
}

/** The candidate that a typing error may have meant. */
function suggestion(word: string, candidates: readonly string[]): string {
  const nearest = candidates
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0]
  return nearest !== undefined && nearest.distance <= 3 ? ` Did you mean ${nearest.candidate}?` : ''
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, replaced))
    }
    row = next
  }
  return row[b.length] ?? 0
}
