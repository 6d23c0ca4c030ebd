import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundle } from './bundle.mjs'
import { programOf, project, say } from './project.mjs'

const rooms = ['actors', 'persistence', 'transport', 'runtime']
const dist = join(project, 'dist')
const stampFile = join(dist, '.built')

/** Compiles into dist/ if a source has changed since the last time. */
export async function build() {
  const sources = rooms.flatMap((room) => filesOf(room, ['.ts', '.lua']))
  const inputs = [
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'scripts/bundle.mjs',
    ...sources,
  ]
  const hash = createHash('sha256')
  for (const file of inputs) hash.update(`${file}\n`).update(readFileSync(join(project, file)))
  const stamp = hash.digest('hex')
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return

  say('building')
  rmSync(stampFile, { force: true })
  // Types are checked by `npm test`, and before a package is made of it: a first start need not wait for that.
  const args = ['-p', 'tsconfig.build.json', '--noCheck']
  const tsc = spawnSync(process.execPath, [programOf('typescript', 'tsc'), ...args], {
    cwd: project,
    stdio: 'inherit',
  })
  if (tsc.status !== 0) throw new Error('the build failed; the complaint of tsc is above')
  removeOrphans(sources)
  for (const file of sources.filter((name) => name.endsWith('.lua'))) {
    mkdirSync(join(dist, file, '..'), { recursive: true })
    cpSync(join(project, file), join(dist, file))
  }
  await bundle()
  writeFileSync(stampFile, stamp)
}

/** What was compiled from a file that is no more would still be found by an import. */
function removeOrphans(sources) {
  const wanted = new Set(sources)
  for (const room of rooms) {
    for (const file of filesOf(join('dist', room), ['.js', '.js.map', '.d.ts', '.lua'])) {
      const stem = file.slice('dist/'.length)
      if (!wanted.has(stem.replace(/\.(js|js\.map|d\.ts)$/, '.ts'))) rmSync(join(project, file))
    }
  }
}

/** Files below a folder of the project, as paths with `/` from the project's folder, in a fixed order. */
function filesOf(folder, endings) {
  if (!existsSync(join(project, folder))) return []
  return readdirSync(join(project, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(project.length + 1)
        .replaceAll('\\', '/'),
    )
    .sort()
}
