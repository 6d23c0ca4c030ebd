/** `npm run migrate -- --check <files>`: installs and builds what is missing, then looks through the sessions. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { prepare } from './prepare.mjs'
import { project } from './project.mjs'

await prepare()
process.setSourceMapsEnabled(true)
await import(pathToFileURL(join(project, 'dist', 'runtime', 'cli', 'migrate.js')).href)
