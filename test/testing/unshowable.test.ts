/** What the TypeScript API says of a session that cannot be shown: as the runtime has it, here on the test kit. */
import { assign, setup } from 'xstate'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import { createTestKit } from '../../runtime/testing/index.ts'
import type { TestKit } from '../../runtime/testing/index.ts'

const shy = defineSession({
  name: 'shy',
  version: 1,
  machine: setup({
    types: {} as { context: { n: number }; events: { type: 'ADD' } },
  }).createMachine({
    context: { n: 0 },
    on: { ADD: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
  }),
  view: ({ context: { n } }) => {
    if (n === 1) throw new Error('it hides')
    return { n }
  },
})

let kit: TestKit
beforeEach(async () => {
  kit = await createTestKit({ definitions: [shy] })
})
afterEach(() => kit.close())

it('an update says that it was committed', async () => {
  const { id } = await kit.createSession(shy)
  await expect(kit.updateSession(id, { type: 'ADD' })).rejects.toMatchObject({
    code: 'internal',
    details: { outcome: 'committed', applied: 2 },
    message: expect.stringContaining('It was done, but the session cannot be shown') as string,
  })
  expect(await kit.updateSession(id, { type: 'ADD' })).toMatchObject({ applied: 3, context: { n: 2 } })
})

it('whoever subscribes or waits then hears why, and is not left hanging', async () => {
  const { id } = await kit.createSession(shy)
  await expect(kit.updateSession(id, { type: 'ADD' })).rejects.toThrow('it hides')
  await expect(kit.subscribe(id, () => undefined)).rejects.toThrow('it hides')
  await expect(kit.waitFor(id, { value: {} }, { timeoutMs: 5000 })).rejects.toThrow('it hides')
})

it.each([Number.NaN, -1, Infinity, 2 ** 31, '5'])('a timeout of %s is refused', async (timeoutMs) => {
  const { id } = await kit.createSession(shy)
  await expect(kit.waitFor(id, { done: true }, { timeoutMs: timeoutMs as number })).rejects.toMatchObject({
    code: 'invalid_params',
    message: expect.stringContaining('timeoutMs') as string,
  })
})
