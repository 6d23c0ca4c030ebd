import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { project, say } from './project.mjs'

const NAMES = ['chromium', 'chromium-browser', 'chromium-headless-shell', 'google-chrome']

/**
 * A Chromium to drive: that of CHROMIUM or of the PATH; on Debian and Ubuntu else the package chromium-headless-shell, fetched into
 * .troupe/chromium. Nothing is installed into the system.
 */
export async function findBrowser() {
  const works = (name) => spawnSync(name, ['--version']).status === 0
  const found = [process.env.CHROMIUM, ...NAMES].find((name) => name !== undefined && works(name))
  if (found !== undefined) return { executablePath: whereIs(found), env: process.env }
  const folder = join(project, '.troupe', 'chromium')
  if (!existsSync(folder)) {
    const module = pathToFileURL(join(project, 'dist/runtime/embedded/debian-packages.js')).href
    const { fetchDebianPackages, hasDebianTools } = await import(module)
    if (!hasDebianTools()) throw new Error('there is no Chromium: install it, or give its path as CHROMIUM')
    say(
      `fetching the Debian package chromium-headless-shell (about 100 MB with its libraries) into ${folder}`,
    )
    await fetchDebianPackages(['chromium-headless-shell'], folder)
  }
  // Some libraries (pulseaudio's) keep theirs in a folder below.
  const libraries = readdirSync(join(folder, 'usr/lib'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.parentPath.includes('-linux-gnu') && /\.so(\.|$)/.test(entry.name))
    .map((entry) => entry.parentPath)
  return {
    executablePath: join(folder, 'usr/lib/chromium/chromium-headless-shell'),
    env: { ...process.env, LD_LIBRARY_PATH: [...new Set(libraries)].join(':') },
  }
}

function whereIs(name) {
  return name.includes('/') ? name : spawnSync('which', [name]).stdout.toString().trim()
}
