/**
 * `npm run test:python`: the protocol as Python's `websockets` speaks it, and the client of docs/guide. Installs nothing into the system: on Debian and
 * Ubuntu the package python3-websockets is fetched into .troupe/python; elsewhere `websockets` must be importable.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { prepare } from './prepare.mjs'
import { project, say } from './project.mjs'

await prepare()
const python = ['python3', '/usr/bin/python3'].find((name) => spawnSync(name, ['--version']).status === 0)
if (python === undefined) fail('python3 is not on the PATH: install it')
const env = { ...process.env, ...(await websocketsPath()) }

say('starting a cluster')
const server = spawn(process.execPath, [join(project, 'dist/runtime/cli/main.js')], {
  cwd: project,
  env: { ...process.env, PORT: '0', DATA_DIR: '.troupe/test-python', LOG_LEVEL: 'warn' },
  stdio: ['ignore', 'pipe', 'inherit'],
})
let said = ''
server.stdout.on('data', (chunk) => {
  said += chunk
  const url = /ready at (ws:\S+)/.exec(said)?.[1]
  if (url === undefined || server.checked) return
  server.checked = true
  const passes = (check) =>
    spawnSync(python, [join(project, 'test/python', check), url], { env, stdio: 'inherit' }).status === 0
  process.exitCode = ['check.py', 'client.py'].every(passes) ? 0 : 1
  server.kill('SIGTERM')
})
server.on('exit', (code) => {
  if (!server.checked) fail(`the cluster did not start (exit code ${code})`)
})

async function websocketsPath() {
  if (spawnSync(python, ['-c', 'import websockets']).status === 0) return {}
  const folder = join(project, '.troupe', 'python')
  if (!existsSync(folder)) {
    const module = pathToFileURL(join(project, 'dist/runtime/embedded/debian-packages.js')).href
    const { fetchDebianPackages, hasDebianTools } = await import(module)
    if (!hasDebianTools()) fail("Python's websockets is missing: pip install websockets")
    say(`fetching the Debian package python3-websockets into ${folder}`)
    await fetchDebianPackages(['python3-websockets'], folder)
  }
  return { PYTHONPATH: join(folder, 'usr/lib/python3/dist-packages') }
}

function fail(reason) {
  console.error(`troupe: ${reason}`)
  process.exit(1)
}
