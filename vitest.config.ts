import { defineConfig } from 'vitest/config'

/** Tests that start and kill whole clusters: one at a time, after all others, so that they have the machine. */
const clusterTests = 'test/cluster/**/*.test.ts'

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
