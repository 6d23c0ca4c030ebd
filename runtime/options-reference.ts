import { defaultText, environmentName, flagName, optionNames, optionTable } from './option-table.ts'
import type { OptionName } from './option-table.ts'
import type { Option } from './option-kinds.ts'

/** The text of docs/options.md. */
export function optionsReference(): string {
  const rows = optionNames.map((name) => {
    const { description, allowed } = about(name)
    const cells = [
      `\`${name}\``,
      `\`${environmentName(name)}\``,
      `\`${flagName(name)}\``,
      defaultWithUnit(name),
      `${description} Must be ${allowed}.`,
    ]
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  return [
    '# Options',
    '',
    'Each option can be given as a flag, as an environment variable, or by its name to `createRuntime`. A flag wins over',
    'the environment; an environment variable that is empty counts as not set. Unknown flags are refused.',
    '',
    '```sh',
    'npm start -- ./my-sessions.ts --port 8000',
    'PORT=8000 npm start -- ./my-sessions.ts',
    '```',
    '',
    '| name | environment | flag | default | meaning |',
    '|---|---|---|---|---|',
    ...rows,
    '',
    'This page is generated from `runtime/option-table.ts`.',
    '',
  ].join('\n')
}

/** What `--help` prints. */
export function optionsHelp(): string {
  const width = Math.max(...optionNames.map((name) => flagName(name).length)) + 2
  const lines = optionNames.map(
    (name) =>
      `  ${flagName(name).padEnd(width)}${about(name).description} Default: ${defaultWithUnit(name)}.`,
  )
  return [
    'Usage: npm start -- [options] [definition files or folders]',
    '',
    'Serves the sessions that the files define; without files, the ones that come with Troupe.',
    '',
    ...lines,
    `  ${'--help'.padEnd(width)}Prints this.`,
    '',
    'Each option is also read from the environment, --key-prefix as KEY_PREFIX. See docs/options.md.',
    '',
  ].join('\n')
}

function about(name: OptionName): Option<unknown> {
  return optionTable[name]
}

function defaultWithUnit(name: OptionName): string {
  const { unit } = about(name)
  return unit === undefined ? defaultText(name) : `${defaultText(name)} ${unit}`
}
