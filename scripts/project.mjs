import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's folder, wherever the caller stands. */
export const project = dirname(dirname(fileURLToPath(import.meta.url)))

export function say(line) {
  console.log(`troupe: ${line}`)
}

/** The script behind a program of an installed package, to run with this very Node. */
export function programOf(packageName, program = packageName) {
  const folder = join(project, 'node_modules', packageName)
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return join(folder, typeof bin === 'string' ? bin : bin[program])
}
