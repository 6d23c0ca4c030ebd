/** All benches, one after another: `npm run bench`, or `npm run bench -- --quick`. Flags are handed on to each. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const benches = [
  'cost-of-a-transition.ts',
  'cost-of-a-plan.ts',
  'cost-of-encoding.ts',
  'cost-of-a-commit.ts',
  'end-to-end.ts',
  'fan-out.ts',
  'idle-connections.ts',
  'slow-subscribers.ts',
]

for (const bench of benches) {
  const script = fileURLToPath(new URL(bench, import.meta.url))
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', script, ...process.argv.slice(2)], {
    stdio: 'inherit',
    cwd: fileURLToPath(new URL('..', import.meta.url)),
  })
  if (status !== 0) {
    console.error(`${bench} failed; the benches after it were not run`)
    process.exit(1)
  }
}
