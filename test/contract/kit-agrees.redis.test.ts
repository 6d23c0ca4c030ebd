/** Whatever a caller does, the test kit answers as processes on Redis do, and the same transitions are committed. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { TroupeError } from '../../actors/errors.ts'
import type { PublicState, SessionRecord } from '../../actors/session.ts'
import { createTestKit } from '../../runtime/testing/index.ts'
import type { UpdateOptions } from '../../runtime/session-api.ts'
import type { TestKit } from '../../runtime/testing/index.ts'
import { tracesOf } from '../persistence/store-support.ts'
import { counterSession } from '../runtime/host-machines.ts'
import { NOBODY, sid, TestCluster, until } from '../support/hosts.ts'
import type { TestProcess } from '../support/hosts.ts'
import { shop, stock } from '../testing/machines.ts'

const definitions = [counterSession(), shop, stock]

type Act =
  | { readonly kind: 'create'; readonly machine: 'counter' | 'shop' | 'stock'; readonly key?: string }
  | {
      readonly kind: 'update'
      readonly event: { readonly type: string; readonly by?: number }
      readonly key?: string
      readonly ifVersion?: number
    }
  | { readonly kind: 'get' }
  | { readonly kind: 'delete' }

interface Call {
  readonly id: string
  readonly act: Act
}

const key = fc.constantFrom('k1', 'k2')
const event = fc.oneof(
  fc.record({ type: fc.constantFrom('ADD', 'TAKE', 'ACT'), by: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ type: fc.constantFrom('TELL', 'BREAK', 'STOP', 'STOP', 'SELL', 'UNHEARD-OF', 'xstate.done') }),
)
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record(
      {
        kind: fc.constant('create' as const),
        machine: fc.constantFrom('counter' as const, 'shop' as const, 'stock' as const),
        key,
      },
      { requiredKeys: ['kind', 'machine'] },
    ),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('update' as const), event }) },
  {
    weight: 3,
    arbitrary: fc.record(
      { kind: fc.constant('update' as const), event, key, ifVersion: fc.integer({ min: 1, max: 4 }) },
      { requiredKeys: ['kind', 'event'] },
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom<Act>({ kind: 'get' }, { kind: 'get' }, { kind: 'delete' }) },
)
const call: fc.Arbitrary<Call> = fc.record({ id: fc.constantFrom('one', 'stock'), act })

/** What a caller is told, without what differs from run to run. */
async function told(answer: Promise<unknown>): Promise<unknown> {
  try {
    const view = { ...((await answer) as object) }
    for (const member of ['epoch', 'updatedAt']) Reflect.deleteProperty(view, member)
    return view
  } catch (error) {
    return (error as TroupeError).code
  }
}

function viewOf({ id, machine, version, state }: SessionRecord): object {
  return { id, machine, version, ...(JSON.parse(state) as PublicState) }
}

function real({ host }: TestProcess, { id: name, act }: Call): Promise<unknown> {
  const id = sid(name)
  switch (act.kind) {
    case 'create':
      return told(
        host.create({ ...act, id }, NOBODY).then(({ created, record }) => ({ created, ...viewOf(record) })),
      )
    case 'update':
      return told(
        host.update({ ...act, id }, NOBODY).then(({ outcome, applied, record }) => ({
          outcome,
          ...(applied === undefined ? {} : { applied }),
          ...viewOf(record),
        })),
      )
    case 'get':
      return told(host.get(id).then((record) => (record === null ? null : viewOf(record))))
    case 'delete':
      return told(host.delete(id, NOBODY).then((deleted) => ({ deleted })))
  }
}

function optionsOf({ key, ifVersion }: Extract<Act, { kind: 'update' }>): UpdateOptions {
  return { ...(key === undefined ? {} : { key }), ...(ifVersion === undefined ? {} : { ifVersion }) }
}

function simulated(kit: TestKit, { id, act }: Call): Promise<unknown> {
  switch (act.kind) {
    case 'create':
      return told(kit.createSession(act.machine, { id, ...(act.key === undefined ? {} : { key: act.key }) }))
    case 'update':
      return told(kit.updateSession(id, act.event, optionsOf(act)))
    case 'get':
      return told(kit.getSession(id))
    case 'delete':
      return told(kit.deleteSession(id).then((deleted) => ({ deleted })))
  }
}

it('CM2 CM5 TM6 the same calls get the same answers and make the same transitions', async () => {
  const answers = new Set<unknown>()
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: 5, maxLength: 30 }), async (calls) => {
      const own = new TestCluster()
      const process = await own.process({ definitions })
      const kit = await createTestKit({ definitions, sessionTtlMs: 3_600_000, logger: process.log })
      const rows = async (id: string): Promise<unknown[]> =>
        (await tracesOf(own, sid(id))).rows.map(({ v, k, s = '' }) => [Number(v), k, s])
      const first: Call = { id: 'one', act: { kind: 'create', machine: 'counter' } }
      for (const one of [first, ...calls]) {
        const answer = await real(process, one)
        answers.add(typeof answer === 'string' ? answer : one.act.kind)
        expect(await simulated(kit, one)).toEqual(answer)
        // Mail is under way in the real one for a while.
        for (const id of ['one', 'stock']) {
          const expected = kit
            .history(id)
            .map(({ version, kind, state }) => [
              version,
              kind,
              state === undefined ? '' : JSON.stringify(state),
            ])
          await until(async () => (await rows(id)).length >= expected.length)
          expect(await rows(id)).toEqual(expected)
        }
      }
      await kit.close()
      await own.close()
    }),
    { numRuns: 120 },
  )
  for (const code of [
    'not_found',
    'session_exists',
    'session_ended',
    'version_conflict',
    'key_reused',
    'internal',
  ])
    expect(answers).toContain(code)
})
