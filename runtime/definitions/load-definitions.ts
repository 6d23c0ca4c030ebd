/** Reads definition files, TypeScript or JavaScript, in the same way in every process. */
import { readdirSync, statSync } from 'node:fs'
import { register } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isSessionDefinition } from '../../actors/define-session.ts'
import { messageOf } from '../../actors/errors.ts'
import type { Registry } from '../../actors/registry.ts'

const SOURCE_FILE = /\.[mc]?[jt]s$/
const DEFINITION_FILE = /(?<!\.d|\.test|\.spec)\.[mc]?[jt]s$/

/**
 * Registers all definitions that the files export, under any name.
 * @param paths files and folders; of a folder, the files directly in it
 * @throws Error with file, name and reason
 */
export async function loadDefinitions(paths: readonly string[], registry: Registry): Promise<void> {
  if (paths.length > 0) register('./resolve-hooks.js', import.meta.url)
  for (const path of paths) {
    let found = 0
    const files = filesAt(path)
    for (const file of files) found += await loadFile(file, registry)
    // A folder may hold helpers beside the definitions.
    if (found === 0) {
      const what = files.length > 1 ? 'none of its files exports a' : 'exports no'
      throw new Error(
        `${path}: ${what} definition: export what defineSession({ name, version, machine }) returns`,
      )
    }
  }
}

function filesAt(path: string): string[] {
  const absolute = resolve(path)
  const stats = statSync(absolute, { throwIfNoEntry: false })
  if (stats === undefined) throw new Error(`${path}: there is no such file or folder of definitions`)
  if (!stats.isDirectory()) {
    if (!SOURCE_FILE.test(absolute))
      throw new Error(`${path}: definitions are read from .ts, .mts, .js and .mjs files`)
    if (!DEFINITION_FILE.test(absolute))
      throw new Error(`${path}: files of tests and of types (.test, .spec, .d) are not read for definitions`)
    return [absolute]
  }
  const names = readdirSync(absolute).filter((name) => DEFINITION_FILE.test(name))
  if (names.length === 0) throw new Error(`${path}: there are no .ts or .js files in this folder`)
  return names.sort().map((name) => join(absolute, name))
}

/** @returns how many definitions it exports */
async function loadFile(file: string, registry: Registry): Promise<number> {
  try {
    const exported = Object.values((await import(pathToFileURL(file).href)) as Record<string, unknown>)
    const definitions = new Set(exported.flat().filter(isSessionDefinition))
    for (const definition of definitions) registry.register(definition)
    return definitions.size
  } catch (error) {
    throw new Error(`${file}: ${reasonOf(error, file)}`, { cause: error })
  }
}

/** One line; a syntax error's without the file, which stands before it already. Where a sentence goes on in the next line, so does this. */
function reasonOf(error: unknown, file: string): string {
  const [first = '', second = ''] = messageOf(error).split('\n')
  if (first.startsWith('Transform failed')) return second.replace(`${file}:`, 'line ')
  return first.endsWith(':') ? `${first} ${second.trim()}` : first
}
