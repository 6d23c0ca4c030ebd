/** `npm start`: installs and builds what is missing, then becomes the server, in this very process. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { prepare } from './prepare.mjs'
import { project } from './project.mjs'

await prepare()
// In one process, signals need no forwarding, and whoever ends this one ends the server and not just its parent.
const main = join(project, 'dist', 'runtime', 'cli', 'main.js')
process.setSourceMapsEnabled(true)
process.argv[1] = main
await import(pathToFileURL(main).href)
