/** `npm run audit -- <command>`: installs and builds what is missing, then proves or asks the audit. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { prepare } from './prepare.mjs'
import { project } from './project.mjs'

await prepare()
process.setSourceMapsEnabled(true)
await import(pathToFileURL(join(project, 'dist', 'runtime', 'cli', 'audit.js')).href)
