/**
 * Module hooks for definition files: TypeScript is stripped of its types, and `troupe`, and what `troupe` brings along
 * (xstate, zod), resolve wherever the file lies. Runs in the loader thread of Node's module customization hooks.
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { LoadHook, ResolveHook } from 'node:module'
import { transform } from 'esbuild'

/** The package itself, compiled. */
const TROUPE = new URL('../index.js', import.meta.url).href
const TYPESCRIPT = /\.[mc]?ts$/

export const resolve: ResolveHook = async (specifier, context, next) => {
  if (specifier === 'troupe') return { url: TROUPE, shortCircuit: true }
  try {
    return await next(specifier, context)
  } catch (error) {
    for (const [candidate, parentURL] of alternatives(specifier, context.parentURL)) {
      try {
        return await next(candidate, { ...context, parentURL })
      } catch {
        // The first error is the one that the author understands.
      }
    }
    throw error
  }
}

export const load: LoadHook = async (url, context, next) => {
  const { pathname, protocol } = new URL(url)
  if (protocol !== 'file:' || !TYPESCRIPT.test(pathname) || pathname.includes('/node_modules/')) {
    return next(url, context)
  }
  const path = fileURLToPath(url)
  const { code } = await transform(await readFile(path, 'utf8'), {
    loader: 'ts',
    format: 'esm',
    target: 'node20',
    sourcefile: path,
    sourcemap: 'inline',
  })
  return { format: 'module', source: code, shortCircuit: true }
}

/** Where else a specifier may lead: TypeScript's ways of naming files, and the libraries of this package. */
function alternatives(specifier: string, parentURL: string | undefined): [string, string | undefined][] {
  if (/^\.{0,2}\//.test(specifier)) {
    const names = [
      specifier.replace(/\.([mc]?)js$/, '.$1ts'),
      `${specifier}.ts`,
      `${specifier}.js`,
      `${specifier}/index.ts`,
    ]
    return names.filter((name) => name !== specifier).map((name) => [name, parentURL])
  }
  return /^[a-z@]/.test(specifier) && !specifier.includes(':') ? [[specifier, TROUPE]] : []
}
