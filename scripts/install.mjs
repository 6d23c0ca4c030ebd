import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { project, say } from './project.mjs'

const stampFile = join(project, 'node_modules', '.troupe-installed')

/** Runs `npm ci` if what is installed is not what package-lock.json says. */
export function install() {
  const lock = readFileSync(join(project, 'package-lock.json'), 'utf8')
  const stamp = createHash('sha256').update(`${process.platform} ${process.arch}\n${lock}`).digest('hex')
  if (readOrNull(stampFile) === stamp) return
  if (!isInstalled(JSON.parse(lock))) {
    say('installing packages (npm ci)')
    // The compiler is a development dependency; NODE_ENV=production must not leave it out.
    const { status, error } = npm(['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund'])
    if (status !== 0) {
      const reason = error ? error.message : `exit code ${status}`
      throw new Error(`the packages could not be installed (npm ci: ${reason}); its complaint is above`)
    }
  }
  writeFileSync(stampFile, stamp)
}

function npm(args) {
  const cli = process.env.npm_execpath
  const [command, first] = cli?.endsWith('npm-cli.js') ? [process.execPath, [cli]] : ['npm', []]
  return spawnSync(command, [...first, ...args], {
    cwd: project,
    stdio: 'inherit',
    env: { ...process.env, ...cacheSetting() },
  })
}

/** npm keeps its cache in the home folder; an account without one (a service) gets it here. */
function cacheSetting() {
  try {
    accessSync(homedir(), constants.W_OK)
    return {}
  } catch {
    return { npm_config_cache: process.env.npm_config_cache ?? join(project, '.troupe', 'npm-cache') }
  }
}

/**
 * Whether npm's own note of what it installed agrees with the lock file. Optional packages are for one platform each
 * (those for this one must be there) or come with such a one (then they may be missing).
 */
function isInstalled(lock) {
  const text = readOrNull(join(project, 'node_modules', '.package-lock.json'))
  if (text === null) return false
  const installed = JSON.parse(text).packages
  const isForHere = ({ os, cpu, libc }) =>
    !libc && os?.includes(process.platform) && (!cpu || cpu.includes(process.arch))
  return Object.entries(lock.packages).every(([path, wanted]) => {
    if (path === '' || installed[path]?.version === wanted.version) return true
    return wanted.optional && installed[path] === undefined && !isForHere(wanted)
  })
}

function readOrNull(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
