/** `npm run chaos`: the fault tests of test/cluster at full length, several minutes. Arguments go to vitest. */
import { spawnSync } from 'node:child_process'
import { prepare } from './prepare.mjs'
import { programOf, project } from './project.mjs'

await prepare()
const { status } = spawnSync(
  process.execPath,
  [programOf('vitest'), 'run', '--project', 'cluster*', ...process.argv.slice(2)],
  {
    cwd: project,
    stdio: 'inherit',
    env: { ...process.env, TROUPE_CHAOS: 'full' },
  },
)
process.exit(status ?? 1)
