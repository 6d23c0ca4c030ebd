/** Definitions that change while sessions of theirs exist. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { assign, fromPromise, setup } from 'xstate'
import { defineSession } from '../../actors/define-session.ts'
import { KeptLog } from '../transport/support/parts.ts'
import { createTestKit } from '../../runtime/testing/index.ts'
import type { TestKit } from '../../runtime/testing/index.ts'

const silent = new KeptLog()
/** Calls of `ship`, in order. */
let ship: Parcel[]

interface Parcel {
  readonly resolve: (parcel: string) => void
}

const types = {} as {
  context: { cents?: number; euros?: number; parcel?: string }
  events: { type: 'ADD' | 'SHIP' }
}
const actors = {
  ship: fromPromise<string>(() => new Promise((resolve) => ship.push({ resolve }))),
}

/** Counts cents in version 1, euros in version 2. */
function basket(version: 1 | 2, migrate?: (stored: never) => unknown) {
  const [unit, one] = version === 1 ? (['cents', 100] as const) : (['euros', 1] as const)
  return defineSession({
    name: 'basket',
    version,
    ...(migrate === undefined ? {} : { migrate: migrate as never }),
    machine: setup({ types, actors }).createMachine({
      context: { [unit]: 0 },
      initial: 'open',
      states: {
        open: {
          on: {
            ADD: { actions: assign(({ context }) => ({ [unit]: (context[unit] ?? 0) + one })) },
            SHIP: 'shipping',
          },
          after: { 3_600_000: 'abandoned' },
        },
        shipping: {
          invoke: {
            id: 'ship',
            src: 'ship',
            onDone: { target: 'shipped', actions: assign({ parcel: ({ event }) => event.output }) },
          },
        },
        shipped: {},
        abandoned: { type: 'final' },
      },
    }),
    ttlMs: null,
  })
}

const first = basket(1)
const second = basket(2, (stored: { value: unknown; context: { cents: number } }) => {
  const { cents, ...rest } = stored.context
  return { value: stored.value, context: { ...rest, euros: cents / 100 } }
})
const ADD = { type: 'ADD' } as const

let kit: TestKit
beforeEach(async () => {
  ship = []
  kit = await createTestKit({ definitions: [first] })
  await kit.createSession(first, { id: 'basket-1' })
  await kit.updateSession('basket-1', ADD)
})
afterEach(() => kit.close())

function kinds(): string[] {
  return kit.history('basket-1').map(({ kind }) => kind)
}

it('MG1 deploy: reads show what the session becomes, the next event migrates it, its timer goes on', async () => {
  await kit.advance(1_000_000)
  await kit.deploy([second])
  expect(await kit.getSession('basket-1')).toMatchObject({ version: 2, context: { euros: 1 } })
  expect(kinds()).toEqual(['created', 'event'])
  expect(await kit.updateSession('basket-1', ADD)).toMatchObject({ version: 4, context: { euros: 2 } })
  expect(kinds()).toEqual(['created', 'event', 'migrated', 'event'])
  await kit.advance(2_599_999)
  expect(await kit.getSession('basket-1')).toMatchObject({ value: 'open' })
  await kit.advance(1)
  expect(await kit.getSession('basket-1')).toMatchObject({ value: 'abandoned', status: 'done' })
})

it('MG1 a timer migrates a session that nobody has touched', async () => {
  await kit.deploy([second])
  await kit.advance(3_600_000)
  expect(kinds()).toEqual(['created', 'event', 'migrated', 'timer'])
})

it('MG2 not while a process that serves the definition does not know the new version; that of a dead one is forgotten', async () => {
  await kit.startProcess({ definitions: [first, second] })
  await kit.advance(3_000_000)
  kit.faults.crash()
  expect(await kit.updateSession('basket-1', ADD)).toMatchObject({ context: { cents: 200 } })
  kit.faults.crash()
  // The process of both versions is left, and believes the others to be there for 15 s.
  expect(await kit.updateSession('basket-1', ADD)).toMatchObject({ context: { cents: 300 } })
  await kit.advance(21_000)
  expect(await kit.updateSession('basket-1', ADD)).toMatchObject({ context: { euros: 4 } })
})

it('what cannot be migrated costs no time that passes; once it is repaired, under the same version, all sees it', async () => {
  const broken = (): never => {
    throw new Error('broken')
  }
  const own = await createTestKit({ definitions: [basket(1)], logger: silent })
  const { id } = await own.createSession('basket')
  await own.deploy([basket(2, broken)])
  await own.advance(30 * 24 * 3_600_000)
  await expect(own.getSession(id)).rejects.toThrow('broken')
  await own.deploy([basket(2, ({ value }: { value: string }) => ({ value, context: { euros: 7 } }))])
  await own.advance(30_000)
  expect(await own.waitFor(id, { value: 'abandoned' })).toMatchObject({ context: { euros: 7 } })
  await own.close()
})

it('a timer that the process at hand does not know is fired by one that does', async () => {
  const other = defineSession({ name: 'other', version: 1, machine: setup({}).createMachine({}) })
  const own = await createTestKit({ definitions: [basket(1)], processes: 1, logger: silent })
  const { id } = await own.createSession('basket')
  await own.deploy([other])
  await own.advance(4_000_000)
  await own.startProcess({ definitions: [basket(1), other] })
  await own.advance(20_000)
  expect(own.history(id).map(({ kind }) => kind)).toEqual(['created', 'timer'])
  await own.close()
})

it('MG2 months in which nothing happens make no process forget another one', async () => {
  await kit.updateSession('basket-1', { type: 'SHIP' })
  ship[0]?.resolve('parcel 1')
  await kit.waitFor('basket-1', { value: 'shipped' })
  await kit.startProcess({ definitions: [second] })
  await kit.advance(90 * 86_400_000)
  expect(await kit.updateSession('basket-1', ADD)).toMatchObject({ outcome: 'unchanged' })
  // The one of the new version alone answers now, and knows of the others still.
  kit.faults.crash()
  kit.faults.crash()
  await kit.advance(8000)
  await expect(kit.updateSession('basket-1', ADD)).rejects.toMatchObject({ code: 'unknown_machine_version' })
  await kit.advance(21_000)
  expect(await kit.updateSession('basket-1', ADD)).toMatchObject({
    context: { euros: 1, parcel: 'parcel 1' },
  })
})

it('TM4 TM5 a promise under way is taken over by the processes of the new version, and counts once', async () => {
  await kit.updateSession('basket-1', { type: 'SHIP' })
  await kit.deploy([second])
  await kit.advance(2000)
  expect(ship).toHaveLength(2)
  ship[0]?.resolve('of the old process')
  await kit.advance(0)
  expect(await kit.getSession('basket-1')).toMatchObject({ value: 'shipping' })
  ship[1]?.resolve('of the new one')
  await kit.waitFor('basket-1', { value: 'shipped' })
  expect(await kit.getSession('basket-1')).toMatchObject({ context: { euros: 1, parcel: 'of the new one' } })
  expect(kinds()).toEqual(['created', 'event', 'event', 'migrated', 'takeover', 'result'])
})

it('MG1 a process that dies at the migration leaves it done or undone', async () => {
  await kit.deploy([second])
  kit.faults.crashBeforeCommit('basket-1')
  await expect(kit.updateSession('basket-1', ADD, { key: 'one' })).rejects.toMatchObject({ code: 'timeout' })
  expect(kinds()).toEqual(['created', 'event'])
  kit.faults.crashAfterCommit('basket-1')
  await expect(kit.updateSession('basket-1', ADD, { key: 'one' })).rejects.toMatchObject({ code: 'timeout' })
  expect(kinds()).toEqual(['created', 'event', 'migrated'])
  await kit.startProcess()
  await kit.updateSession('basket-1', ADD, { key: 'one' })
  expect(await kit.updateSession('basket-1', ADD, { key: 'one' })).toMatchObject({ outcome: 'duplicate' })
  expect(kinds()).toEqual(['created', 'event', 'migrated', 'event'])
})

it('definitions that cannot work change nothing', async () => {
  await expect(kit.deploy([first, first])).rejects.toThrow('definitions[1]: definition "basket" version 1')
  await expect(kit.startProcess({ definitions: [{} as never] })).rejects.toThrow('definitions[0]')
  expect(await kit.updateSession('basket-1', ADD)).toMatchObject({ context: { cents: 200 } })
})
