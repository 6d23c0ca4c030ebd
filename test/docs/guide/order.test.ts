import { afterEach, beforeEach, expect, it } from 'vitest'
import { defineSession } from 'troupe'
import { createTestKit } from 'troupe/testing'
import type { TestKit } from 'troupe/testing'
import { orderSession } from './order.ts'

let kit: TestKit
let charged: string[]
const order = orderSession(async (effectKey) => {
  charged.push(effectKey)
  return 'receipt 1'
})

beforeEach(async () => {
  charged = []
  kit = await createTestKit({ definitions: [order] })
})
afterEach(() => kit.close())

it('is cancelled after an hour without payment', async () => {
  const { id } = await kit.createSession(order)
  await kit.advance(3_599_999)
  expect(await kit.getSession(id)).toMatchObject({ value: 'open' })
  await kit.advance(1)
  expect(await kit.getSession(id)).toMatchObject({ value: 'cancelled' })
})

it('is paid once the charge has gone through', async () => {
  const { id } = await kit.createSession(order)
  await kit.updateSession(id, { type: 'PAY' })
  const { context } = await kit.waitFor<typeof order>(id, { tag: 'settled' })
  expect(context.receipt).toBe('receipt 1')
  expect(kit.history(id).map(({ kind }) => kind)).toEqual(['created', 'event', 'result'])
})

it('a customer who clicks twice pays once', async () => {
  const { id } = await kit.createSession(order)
  kit.faults.duplicateEvent(id)
  await kit.updateSession(id, { type: 'PAY' }, { key: 'click-1' })
  expect(charged).toHaveLength(1)
})

it('a crash on the way loses no payment, and the service can tell that it is the same', async () => {
  const { id } = await kit.createSession(order)
  kit.faults.crashBeforeResult(id) // charged, and then the process died before it could say so
  await kit.updateSession(id, { type: 'PAY' })
  await kit.advance(20_000) // its lease is over after 15 s: another process charges again
  expect(await kit.getSession(id)).toMatchObject({ value: 'paid' })
  expect(charged).toHaveLength(2)
  expect(charged[1]).toBe(charged[0]) // the same effect key: the service takes it for one payment
})

it('a client whose answer was lost asks again with its key', async () => {
  const { id } = await kit.createSession(order)
  const pay = () => kit.updateSession(id, { type: 'PAY' }, { key: 'click-1' })
  kit.faults.crashAfterCommit(id)
  await expect(pay()).rejects.toMatchObject({ code: 'timeout', details: { outcome: 'unknown' } })
  expect(await pay()).toMatchObject({ outcome: 'duplicate' })
})

it('an order that waits for its payment goes on in the next version, with its timer', async () => {
  const { id } = await kit.createSession(order)
  const next = defineSession({
    ...order,
    version: 2,
    migrate: ({ value, context }) => ({ value, context: { receipt: context['receipt'] as string | null } }),
  })
  await kit.deploy([next])
  await kit.advance(3_600_000)
  expect(await kit.getSession(id)).toMatchObject({ value: 'cancelled' })
  expect(kit.history(id).map(({ kind }) => kind)).toEqual(['created', 'migrated', 'timer'])
})
