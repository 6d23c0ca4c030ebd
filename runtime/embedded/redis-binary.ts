import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { runCommand } from './command.ts'
import { fetchDebianPackages, hasDebianTools } from './debian-packages.ts'

const OLDEST_MAJOR = 7

/** A Redis or Valkey server that can be started here. */
export interface RedisBinary {
  readonly command: string
  /** Its whole environment; ours if absent. */
  readonly env?: Record<string, string>
  /** As it names itself, for people: `Redis 7.0.15`. */
  readonly name: string
}

/** The packages of a server, with the one that its program lies in. */
const PACKAGES = [
  { program: 'redis-server', packages: ['redis-server', 'redis-tools'] },
  { program: 'valkey-server', packages: ['valkey-server', 'valkey-tools'] },
]

/**
 * The server found on PATH, or the one fetched earlier into `folder`, or one fetched now.
 * @throws Error that says what to do if there is none.
 */
export async function findRedisBinary(folder: string, log: (line: string) => void): Promise<RedisBinary> {
  const refused: string[] = []
  for (const command of ['redis-server', 'valkey-server']) {
    const found = await inspect(command)
    if (found !== null && found.major >= OLDEST_MAJOR) return found
    if (found !== null) refused.push(`${found.name} on PATH is too old`)
  }
  const fetched = await inspectFetched(folder)
  if (fetched !== null) return fetched

  const installer = hasDebianTools() ? 'apt-get install' : process.platform === 'darwin' ? 'brew install' : ''
  const instead =
    `Install Redis or Valkey 7.0 or later${installer && ` (${installer} redis)`}, ` +
    'or set REDIS_URL to one of yours'
  if (!hasDebianTools()) {
    throw new Error(`${refused[0] ?? 'no redis-server or valkey-server was found on PATH'}. ${instead}`)
  }
  log(`no Redis 7 or later on PATH: fetching its Debian packages into ${folder}`)
  for (const { program, packages } of PACKAGES) {
    try {
      return await fetchInto(folder, program, packages)
    } catch (error) {
      refused.push((error as Error).message)
    }
  }
  throw new Error(`Redis could not be fetched (${[...new Set(refused)].join('; ')}). ${instead}`)
}

async function fetchInto(folder: string, program: string, packages: readonly string[]): Promise<RedisBinary> {
  // Unpacked beside its place and moved there once it has run: a half one is never found by the next start.
  const draft = `${folder}.${String(process.pid)}.new`
  mkdirSync(dirname(folder), { recursive: true })
  try {
    await fetchDebianPackages(packages, draft)
    const works = await inspectFetched(draft)
    if (works === null) throw new Error(`${program} does not run after unpacking`)
    if (works.major < OLDEST_MAJOR) throw new Error(`this system's ${works.name} is too old`)
    rmSync(folder, { recursive: true, force: true })
    renameSync(draft, folder)
  } catch (error) {
    // Another start may have been faster; then its work is as good as ours.
    const other = await inspectFetched(folder)
    if (other !== null) return other
    throw error
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
  const placed = await inspectFetched(folder)
  if (placed === null) throw new Error(`${program} does not run in ${folder}`)
  return placed
}

async function inspectFetched(folder: string): Promise<(RedisBinary & { major: number }) | null> {
  const libraries = ['usr/lib', 'lib'].flatMap((part) => {
    const parent = join(folder, part)
    return existsSync(parent) ? [parent, ...readdirSync(parent).map((name) => join(parent, name))] : []
  })
  for (const { program } of PACKAGES) {
    const command = join(folder, 'usr/bin', program)
    if (!existsSync(command)) continue
    const found = await inspect(command, { LD_LIBRARY_PATH: libraries.join(':') })
    if (found !== null) return found
  }
  return null
}

async function inspect(
  command: string,
  env?: Record<string, string>,
): Promise<(RedisBinary & { major: number }) | null> {
  try {
    const { code, stdout } = await runCommand(command, ['--version'], {
      ...(env && { env }),
      timeoutMs: 20_000,
    })
    // "Redis server v=7.0.15 sha=…", "Valkey server v=8.0.1 sha=…"
    const version = /^(\w+) server v=((\d+)\.[\d.]+)/i.exec(stdout)
    if (code !== 0 || version === null) return null
    return {
      command,
      ...(env && { env }),
      name: `${version[1] ?? ''} ${version[2] ?? ''}`,
      major: Number(version[3]),
    }
  } catch {
    return null
  }
}
