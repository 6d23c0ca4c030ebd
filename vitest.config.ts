import { defineConfig } from 'vitest/config'

/** What they import keeps no state, and nothing of them outlives its file. */
const pureTests = ['actors', 'testing', 'transport/client'].map((room) => `test/${room}/**/*.test.ts`)
const clusterTests = 'test/cluster/**/*.test.ts'
/** Of whole clusters, and mostly waiting: for processes that start or leave, and for time to pass. Nothing in them is counted or timed closely. */
const waitingTests = ['certificates', 'conformance', 'migrate', 'presence', 'start'].map(
  (name) => `test/cluster/${name}.test.ts`,
)

/** Minutes each: `npm run chaos` runs them, and all others at full length. */
const longTests =
  process.env['TROUPE_CHAOS'] === 'full'
    ? []
    : ['audit-proof', 'long-outage'].map((name) => `test/cluster/${name}.test.ts`)

// The projects do not extend what stands here: each would start servers of its own.
export default defineConfig({
  test: {
    globalSetup: 'test/support/global-setup.ts',
    projects: [
      {
        test: {
          // Half of what such a file costs is to load modules: they are loaded once for all.
          name: 'rooms-pure',
          include: pureTests,
          isolate: false,
          pool: 'forks',
          maxWorkers: 2,
          testTimeout: 30_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'rooms',
          include: ['test/**/*.test.ts'],
          exclude: [clusterTests, ...pureTests],
          pool: 'forks',
          maxWorkers: 2,
          testTimeout: 30_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'cluster-waits',
          include: waitingTests,
          pool: 'forks',
          maxWorkers: 2,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          // One at a time, after all others, so that they have the machine.
          name: 'cluster',
          include: [clusterTests],
          exclude: [...waitingTests, ...longTests],
          pool: 'forks',
          maxWorkers: 1,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
