/** `npm test`: all checks at once, then, if they pass, the tests. Arguments go to vitest. */
import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { prepare } from './prepare.mjs'
import { programOf, project, say } from './project.mjs'

await prepare()

const rooms = ['actors', 'persistence', 'transport', 'runtime', 'bench', 'test', 'examples'].filter((room) =>
  existsSync(join(project, room)),
)

const passed = await Promise.all([
  check('format (prettier)', programOf('prettier'), ['--check', '--log-level=warn', '.']),
  check('lint (eslint)', programOf('eslint'), ['--max-warnings=0', '.']),
  check('types (tsc)', programOf('typescript', 'tsc'), ['--noEmit', '-p', 'tsconfig.json']),
  check('arrows between the rooms (dependency-cruiser)', programOf('dependency-cruiser', 'depcruise'), [
    '--config',
    '.dependency-cruiser.cjs',
    ...rooms,
  ]),
  check('unused code (knip)', programOf('knip'), []),
])
if (passed.includes(false)) process.exit(1)

say('tests (vitest)')
const { status, signal } = spawnSync(
  process.execPath,
  [programOf('vitest'), 'run', ...process.argv.slice(2)],
  { cwd: project, stdio: 'inherit' },
)
if (signal) process.kill(process.pid, signal)
process.exit(status ?? 1)

/** Whether it passes; if not, its complaint is printed. */
function check(name, program, args) {
  const began = Date.now()
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [program, ...args],
      { cwd: project, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const seconds = ((Date.now() - began) / 1000).toFixed(1)
        if (error !== null) {
          process.stdout.write(stdout)
          process.stderr.write(stderr)
        }
        say(error === null ? `${name}: ok, ${seconds} s` : `${name}: FAILED; its complaint is above`)
        resolve(error === null)
      },
    )
  })
}
