/** `npm test`: the checks, all at once, and then the tests. Arguments go to vitest. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { prepare } from './prepare.mjs'
import { programOf, project, say } from './project.mjs'

await prepare()

const rooms = ['actors', 'persistence', 'transport', 'runtime', 'bench', 'test', 'examples'].filter((room) =>
  existsSync(join(project, room)),
)

const isClean = await Promise.all([
  check('lint (eslint)', programOf('eslint'), ['--max-warnings=0', '.']),
  check('types (tsc)', programOf('typescript', 'tsc'), ['--noEmit', '-p', 'tsconfig.json']),
  check('format (prettier)', programOf('prettier'), ['--check', '--log-level=warn', '.']),
  check('arrows between the rooms (dependency-cruiser)', programOf('dependency-cruiser', 'depcruise'), [
    '--config',
    '.dependency-cruiser.cjs',
    ...rooms,
  ]),
  check('unused code (knip)', programOf('knip'), []),
])
if (isClean.includes(false)) process.exit(1)

say('tests (vitest)')
const { status, signal } = spawnSync(
  process.execPath,
  [programOf('vitest'), 'run', ...process.argv.slice(2)],
  { cwd: project, stdio: 'inherit' },
)
if (signal) process.kill(process.pid, signal)
process.exit(status ?? 1)

/** Runs a program, and shows what it says if it fails. @returns whether it did not. */
async function check(name, program, args) {
  const began = Date.now()
  const child = spawn(process.execPath, [program, ...args], { cwd: project })
  const output = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(chunk))
  const [status] = await once(child, 'close')
  const seconds = ((Date.now() - began) / 1000).toFixed(1)
  if (status === 0) {
    say(`${name}: ok, ${seconds} s`)
    return true
  }
  process.stdout.write(Buffer.concat(output))
  say(`${name}: FAILED; its complaint is above`)
  return false
}
