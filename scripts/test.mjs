/** `npm test`: all checks, cheapest first, stopping at the first that fails. Arguments go to vitest. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { prepare } from './prepare.mjs'
import { programOf, project, say } from './project.mjs'

await prepare()

const rooms = ['actors', 'persistence', 'transport', 'runtime', 'bench', 'test', 'examples'].filter((room) =>
  existsSync(join(project, room)),
)

check('format (prettier)', programOf('prettier'), ['--check', '--log-level=warn', '.'])
check('lint (eslint)', programOf('eslint'), ['--max-warnings=0', '.'])
check('types (tsc)', programOf('typescript', 'tsc'), ['--noEmit', '-p', 'tsconfig.json'])
check('arrows between the rooms (dependency-cruiser)', programOf('dependency-cruiser', 'depcruise'), [
  '--config',
  '.dependency-cruiser.cjs',
  ...rooms,
])
check('unused code (knip)', programOf('knip'), [])

say('tests (vitest)')
const { status, signal } = run(programOf('vitest'), ['run', ...process.argv.slice(2)], 'inherit')
if (signal) process.kill(process.pid, signal)
process.exit(status ?? 1)

function check(name, program, args) {
  const began = Date.now()
  const { status, stdout, stderr } = run(program, args, 'pipe')
  const seconds = ((Date.now() - began) / 1000).toFixed(1)
  if (status === 0) {
    say(`${name}: ok, ${seconds} s`)
    return
  }
  process.stdout.write(stdout)
  process.stderr.write(stderr)
  say(`${name}: FAILED; its complaint is above`)
  process.exit(1)
}

function run(program, args, stdio) {
  return spawnSync(process.execPath, [program, ...args], { cwd: project, stdio, maxBuffer: 64 * 1024 * 1024 })
}
