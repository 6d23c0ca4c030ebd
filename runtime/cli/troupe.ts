#!/usr/bin/env node
/** `troupe start …`, `troupe migrate --check …` and `troupe audit …`: for projects that have Troupe among their packages. */
export {}

const commands = new Map([
  ['start', './main.js'],
  ['migrate', './migrate.js'],
  ['audit', './audit.js'],
])

const [name = '', ...others] = process.argv.slice(2)
const command = commands.get(name)
if (command === undefined) {
  process.stderr.write(`troupe: say one of ${[...commands.keys()].join(', ')}; --help behind it tells more\n`)
  process.exit(2)
}
process.argv.splice(2, process.argv.length, ...others)
process.setSourceMapsEnabled(true)
await import(new URL(command, import.meta.url).href)
