/** `npm run docs`: writes the pages that are generated from the code; tests hold them against it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { prepare } from './prepare.mjs'
import { project, say } from './project.mjs'

/** Page, the compiled module that knows it, and the function there that gives its text. */
const pages = [
  ['docs/options.md', 'dist/runtime/options-reference.js', 'optionsReference'],
  ['docs/protocol.md', 'dist/transport/protocol/reference.js', 'protocolReference'],
]

await prepare()
for (const [page, module, text] of pages) {
  const exports = await import(pathToFileURL(join(project, module)).href)
  writeFileSync(join(project, page), exports[text]())
  say(`wrote ${page}`)
}
