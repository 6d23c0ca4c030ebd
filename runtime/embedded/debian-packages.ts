import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { lastLine, runCommand } from './command.ts'

/**
 * Fetches Debian packages and unpacks them into a folder, with the libraries that the system lacks, without root and
 * without touching the system: apt with a state and a cache of its own, and dpkg only to unpack.
 *
 * @param into a folder that does not exist yet; after an error it is gone again.
 * @throws Error with apt's complaint.
 */
export async function fetchDebianPackages(names: readonly string[], into: string): Promise<void> {
  // apt takes a relative folder to lie in its own root.
  const work = resolve(`${into}.apt`)
  const apt = (args: string[], timeoutMs: number) =>
    runCommand('apt-get', [...aptSettings(work), ...args], { cwd: join(work, 'packages'), timeoutMs })
  try {
    for (const folder of ['state/lists/partial', 'cache/archives/partial', 'packages'])
      mkdirSync(join(work, folder), { recursive: true })
    // One broken source among several (a third party's) fails the update, and yet leaves what is needed.
    const update = await apt(['update'], 180_000)
    const wanted = [...names, ...missingDependencies((await simulate(apt, names)).stdout, names)]
    const download = await apt(['download', ...wanted], 180_000)
    if (download.code !== 0) {
      // Without a network, apt only warns about it here and then misses the package.
      const unreachable = /Failed to fetch .*/.exec(update.stderr)?.[0]
      throw new Error(unreachable ?? (lastLine(download.stderr) || 'apt-get download failed'))
    }
    for (const file of readdirSync(join(work, 'packages'))) {
      const unpack = await runCommand('dpkg', ['-x', join(work, 'packages', file), into], {
        timeoutMs: 60_000,
      })
      if (unpack.code !== 0) throw new Error(lastLine(unpack.stderr))
    }
  } catch (error) {
    rmSync(into, { recursive: true, force: true })
    throw error
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

export function hasDebianTools(): boolean {
  return existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg') && existsSync('/var/lib/dpkg/status')
}

function aptSettings(work: string): string[] {
  const settings = {
    'Dir::State': join(work, 'state'),
    // What is installed already is read from the system's own list.
    'Dir::State::status': '/var/lib/dpkg/status',
    'Dir::Cache': join(work, 'cache'),
    // As root, apt would download as user _apt, who cannot enter every folder.
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '2',
    'Acquire::http::Timeout': '20',
    'Acquire::https::Timeout': '20',
  }
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
}

/** What an installation would bring, printed as addresses; this needs no lock and changes nothing. */
function simulate(
  apt: (args: string[], timeoutMs: number) => ReturnType<typeof runCommand>,
  names: readonly string[],
) {
  return apt(['install', '--print-uris', '-qq', '-y', '--no-install-recommends', ...names], 60_000)
}

/**
 * Names of further packages in the output of `--print-uris`: `'<address>' <name>_<version>_<arch>.deb <size> <hash>`.
 */
export function missingDependencies(printedUris: string, names: readonly string[]): string[] {
  return printedUris
    .split('\n')
    .map((line) => /^'[^']*' ([^_\s]+)_\S+\.deb /.exec(line)?.[1])
    .filter((name): name is string => name !== undefined && !names.includes(name))
}
