import { defineConfig } from 'vitest/config'

const clusterTests = 'test/cluster/**/*.test.ts'
/** Of whole clusters, and mostly waiting: for processes that start or leave, and for time to pass. Nothing in them is timed closely. */
const waitingTests = [
  'audit-faults',
  'backpressure',
  'certificates',
  'conformance',
  'drain',
  'http',
  'mail',
  'migrate',
  'outages',
  'presence',
  'replacing',
  'start',
].map((name) => `test/cluster/${name}.test.ts`)

/** Minutes each: `npm run chaos` runs them, and all others at full length. */
const longTests =
  process.env['TROUPE_CHAOS'] === 'full'
    ? []
    : ['audit-proof', 'long-outage'].map((name) => `test/cluster/${name}.test.ts`)

const shared = {
  pool: 'forks',
  // To load modules is a third of what most files cost: it is done once for all. Nothing of a file may outlive it.
  isolate: false,
  hookTimeout: 60_000,
} as const

// The projects do not extend what stands here: each would start servers of its own.
export default defineConfig({
  test: {
    globalSetup: 'test/support/global-setup.ts',
    projects: [
      {
        test: {
          name: 'rooms',
          include: ['test/**/*.test.ts'],
          exclude: [clusterTests],
          ...shared,
          maxWorkers: 4,
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'cluster-waits',
          include: waitingTests,
          ...shared,
          maxWorkers: 2,
          testTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          // One at a time, after all others, so that they have the machine.
          name: 'cluster',
          include: [clusterTests],
          exclude: [...waitingTests, ...longTests],
          ...shared,
          maxWorkers: 1,
          testTimeout: 120_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
