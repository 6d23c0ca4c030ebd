/** What a command of `troupe audit` is, and how its arguments are read. */
import { parseArgs } from 'node:util'
import { messageOf } from '../../actors/errors.ts'
import type { Database } from '../../persistence/audit/database.ts'
import { parseOptions } from '../options.ts'
import type { Options } from '../options.ts'

export const EXIT_WHOLE = 0
export const EXIT_FINDINGS = 1
export const EXIT_CANNOT = 2

/** A request that cannot be carried out as it was made; the message is one line for its sender. */
export class Unusable extends Error {}

type OptionSpecs = Readonly<Record<string, { readonly type: 'string' | 'boolean' }>>

export interface Asked {
  readonly database: Database
  /** Where sessions are kept, if that is known. */
  readonly redisUrl: string | null
  readonly options: Options
  readonly values: Readonly<Record<string, string | boolean | undefined>>
  readonly positionals: readonly string[]
}

export interface AuditCommand {
  readonly usage: string
  readonly options: OptionSpecs
  /** How many words stand behind its name. */
  readonly positionals: { readonly least: number; readonly most: number; readonly what: string }
  /** @returns the exit code @throws Unusable */
  readonly run: (asked: Asked) => Promise<number>
}

/** Options of `npm start` that say where the servers are. */
const serverFlags = ['database-url', 'redis-url', 'key-prefix', 'data-dir'] as const

export interface ParsedArguments extends Pick<Asked, 'options' | 'values' | 'positionals'> {
  readonly isHelp: boolean
}

/** @throws Unusable */
export function parseCommand(command: AuditCommand, args: readonly string[]): ParsedArguments {
  const specs: OptionSpecs = {
    ...command.options,
    ...Object.fromEntries(serverFlags.map((name) => [name, { type: 'string' as const }])),
    help: { type: 'boolean' },
  }
  const { values, positionals } = understand(() =>
    parseArgs({
      args: [...args],
      options: specs,
      allowPositionals: true,
    }),
  )
  const given = serverFlags.flatMap((name) => {
    const value = values[name]
    return typeof value === 'string' ? [`--${name}=${value}`] : []
  })
  const { options } = understand(() => parseOptions(given))
  const isHelp = values['help'] === true
  const { least, most, what } = command.positionals
  if (!isHelp && positionals.length < least) throw new Unusable(`${what} is missing: ${command.usage}`)
  if (!isHelp && positionals.length > most)
    throw new Unusable(`"${positionals[most] ?? ''}" is one word too many: ${command.usage}`)
  return { options, values, positionals, isHelp }
}

function understand<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    // The parser goes on about words that begin with a dash.
    throw new Unusable(messageOf(error).replace(/\. To specify a positional argument.*$/s, ''))
  }
}

/** The text of an option; `undefined` if it was not given. */
export function textOf(values: Asked['values'], name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A span such as `30m`, in ms. @throws Unusable */
export function spanOf(values: Asked['values'], name: string): number | undefined {
  const text = textOf(values, name)
  if (text === undefined) return undefined
  const [, number, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (number === undefined)
    throw new Unusable(`--${name}: "${text}" is no span of time; say 90s, 30m, 2h or 7d`)
  return Number(number) * (UNITS[unit] ?? 0)
}

/** A time as `2026-01-31`, `2026-01-31T12:00:00Z`, or as a span before now. @throws Unusable */
export function timeOf(values: Asked['values'], name: string): Date | undefined {
  const text = textOf(values, name)
  if (text === undefined) return undefined
  if (/^\d+[smhd]$/.test(text)) return new Date(Date.now() - (spanOf(values, name) ?? 0))
  const time = isDay(text.slice(0, 10)) ? new Date(text) : null
  if (time === null || Number.isNaN(time.getTime()))
    throw new Unusable(
      `--${name}: "${text}" is no time; say 2026-01-31, 2026-01-31T12:00:00Z, or 2h for the last two hours`,
    )
  return time
}

/** A day as `2026-01-31`. @throws Unusable */
export function dayOfOption(values: Asked['values'], name: string): string | undefined {
  const text = textOf(values, name)
  if (text === undefined) return undefined
  if (!isDay(text)) throw new Unusable(`--${name}: "${text}" is no day; say 2026-01-31`)
  return text
}

/** Whether there is such a day: `Date` takes the 31st of February for the 3rd of March. */
function isDay(text: string): boolean {
  const time = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : NaN
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text)
}

/** A whole number, `least` or more. @throws Unusable */
export function numberOf(values: Asked['values'], name: string, least = 0): number | undefined {
  const text = textOf(values, name)
  if (text === undefined) return undefined
  if (!/^\d{1,15}$/.test(text)) throw new Unusable(`--${name}: "${text}" is no whole number`)
  if (Number(text) < least) throw new Unusable(`--${name}: must be at least ${least}, and is ${text}`)
  return Number(text)
}
