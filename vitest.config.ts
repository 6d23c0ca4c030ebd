import { defineConfig } from 'vitest/config'

/** What they import keeps no state, and nothing of them outlives its file. */
const pureTests = ['actors', 'testing', 'transport/client'].map((room) => `test/${room}/**/*.test.ts`)
/** Tests that start and kill whole clusters: one at a time, after all others, so that they have the machine. */
const clusterTests = 'test/cluster/**/*.test.ts'

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
          name: 'cluster',
          include: [clusterTests],
          pool: 'forks',
          maxWorkers: 1,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
