/** Installs and builds what is missing or out of date; well under a second when nothing is. */
import './node-version.mjs'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from './build.mjs'
import { install } from './install.mjs'
import { project, say } from './project.mjs'

/** Ends the process with one line if it cannot be done. */
export async function prepare() {
  try {
    const unlock = await lock(join(project, '.troupe', 'prepare.lock'))
    try {
      install()
      await build()
    } finally {
      unlock()
    }
  } catch (error) {
    console.error(`troupe: ${explain(error)}`)
    process.exit(1)
  }
}

function explain(error) {
  if (error.code !== 'EACCES' && error.code !== 'EPERM' && error.code !== 'EROFS') return error.message
  return `${error.path} cannot be written (${error.code}): give this user the right to, or run as the owner of ${project}`
}

/** Two commands started together in a fresh clone must not install over each other: the second waits. */
async function lock(file) {
  mkdirSync(join(project, '.troupe'), { recursive: true })
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, String(process.pid))
  try {
    // A link appears with its content in one step, and only where nothing is yet.
    for (let waited = false; !tryLink(draft, file); waited = true) {
      if (isHeld(file)) {
        if (!waited) say('waiting for another start that is installing or building')
        await new Promise((resolve) => setTimeout(resolve, 300))
      } else rmSync(file, { force: true })
    }
  } finally {
    rmSync(draft, { force: true })
  }
  return () => rmSync(file, { force: true })
}

function tryLink(from, to) {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

function isHeld(file) {
  try {
    process.kill(Number(readFileSync(file, 'utf8')), 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await prepare()
