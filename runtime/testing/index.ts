/** The package `troupe/testing`: definitions run as they do in a cluster, in one process, in virtual time, without Redis. */
import { TestKit } from './test-kit.ts'
import type { TestKitConfig } from './test-kit.ts'

export type { FaultKind, FaultPoints, PendingFault } from './faults.ts'
export type { Transition } from './history.ts'
export type { TestKit, TestKitConfig } from './test-kit.ts'

/**
 * Makes a test kit: some simulated processes that share a store in memory. What serves the sessions is the code of the
 * runtime; only the store, the clocks and what goes wrong are the test's.
 *
 * @throws OptionsError, or Error that says what is wrong with a definition
 * @example
 * const kit = await createTestKit({ definitions: [order] })
 * const { id } = await kit.createSession(order)
 * await kit.advance(60_000)
 */
export async function createTestKit(config: TestKitConfig): Promise<TestKit> {
  const kit = new TestKit(config)
  await kit.start()
  return kit
}
