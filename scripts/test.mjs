/** `npm test`: the tests, and the checks beside them. Arguments go to vitest. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { prepare } from './prepare.mjs'
import { programOf, project, say } from './project.mjs'

await prepare()

const rooms = ['actors', 'persistence', 'transport', 'runtime', 'bench', 'test', 'examples'].filter((room) =>
  existsSync(join(project, room)),
)

const running = new Set()
const checks = Promise.all([
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

say('tests (vitest), and checks beside them')
const tests = spawn(process.execPath, [programOf('vitest'), 'run', ...process.argv.slice(2)], {
  cwd: project,
  stdio: 'inherit',
})
// A terminal interrupts all of them, and vitest is to have the time to stop its servers.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => tests.kill('SIGTERM'))
const [status, signal] = await once(tests, 'close')
if (signal) {
  for (const child of running) child.kill()
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
}

// Behind the report of the tests, where they are seen.
let isClean = true
for (const { name, isOk, output, seconds } of await checks) {
  if (!isOk) process.stdout.write(output)
  say(`${name}: ${isOk ? 'ok' : 'FAILED; its complaint is above'}, ${seconds} s`)
  isClean &&= isOk
}
process.exit(isClean ? (status ?? 1) : 1)

/** Runs a program on what the tests leave of the processors, which is much: most of them wait for something. */
async function check(name, program, args) {
  const began = Date.now()
  const child = spawn('nice', ['-n', '19', process.execPath, program, ...args], { cwd: project })
  running.add(child)
  const output = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(chunk))
  const [status] = await once(child, 'close')
  running.delete(child)
  const seconds = ((Date.now() - began) / 1000).toFixed(1)
  if (status !== 0) say(`${name}: FAILED; its complaint comes behind the tests`)
  return { name, isOk: status === 0, output: Buffer.concat(output), seconds }
}
