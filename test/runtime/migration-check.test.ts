/** What a dry run says of sessions that a deployment would leave behind. */
import { setup } from 'xstate'
import { expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import type { SessionDefinition } from '../../actors/define-session.ts'
import { Kernel } from '../../actors/kernel.ts'
import { Registry } from '../../actors/registry.ts'
import type { SessionRecord } from '../../actors/session.ts'
import { checkMigrations, describeReports, stuckIn } from '../../runtime/migration-check.ts'
import { recordOf } from '../actors/driven.ts'

const LIMITS = { maxSessionBytes: 10_000, maxEventBytes: 10_000 } as never

function loan(version: number, states: readonly string[], migrate?: (stored: { value: unknown }) => unknown) {
  const [initial = ''] = states
  const machine = setup({}).createMachine({
    initial,
    states: Object.fromEntries(
      states.map((name) => [name, name === 'back' ? { type: 'final' } : { on: { GO: states.at(-1) } }]),
    ),
  } as never)
  return defineSession({
    name: 'loan',
    version,
    machine: machine as never,
    ...(migrate === undefined ? {} : { migrate: migrate as never }),
  }) as unknown as SessionDefinition
}

/** A session of this definition, after so many events. */
function sessionOf(definition: SessionDefinition, events = 0): SessionRecord {
  const kernel = new Kernel(definition)
  let plan = kernel.initial(undefined)
  for (let n = 0; n < events; n++) plan = kernel.transition(plan.live, { type: 'GO' }) ?? plan
  const { name, version } = definition
  return { ...recordOf(plan), machine: name, machineVersion: version }
}

async function check(records: readonly SessionRecord[], ...definitions: SessionDefinition[]) {
  const registry = new Registry()
  for (const definition of definitions) registry.register(definition)
  const reports = await checkMigrations(
    (async function* () {
      yield* records
    })(),
    registry,
    LIMITS,
  )
  return { lines: describeReports(reports), stuck: stuckIn(reports) }
}

const first = loan(1, ['out', 'back'])
const same = ({ value }: { value: unknown }) => ({ value, context: {} })

it('sessions of other definitions do not count', async () => {
  expect(await check([sessionOf(first)], { ...loan(1, ['x']), name: 'other' })).toEqual({
    lines: [
      'loan version 1: 1 active session, 0 ended; not among the definitions that were tried',
      'All could go on.',
    ],
    stuck: 0,
  })
})

it('a machine that was changed within its version is found out', async () => {
  const { lines, stuck } = await check([sessionOf(first)], loan(1, ['away', 'back']))
  expect(stuck).toBe(1)
  expect(lines[0]).toBe(
    'loan version 1: 1 active session, 0 ended; 1 cannot go on: the machine of this version is another one now',
  )
  expect(lines[1]).toContain("State 'out' does not exist")
  expect(lines.at(-1)).toBe('1 session could not go on or be shown.')
})

it('what has ended is shown by its own version, or else by migrate', async () => {
  const ended = sessionOf(first, 1)
  expect((await check([ended], first, loan(2, ['out', 'end'], same))).stuck).toBe(0)
  expect((await check([ended], loan(2, ['out', 'back'], same))).stuck).toBe(0)
  const hidden = await check([ended, sessionOf(first)], loan(2, ['out', 'end'], same))
  expect(hidden.stuck).toBe(1)
  expect(hidden.lines.slice(0, 2)).toEqual([
    'loan version 1: 1 active session, 1 ended; all would be migrated to version 2',
    '  1 of the ended could not be shown without version 1',
  ])
  expect((await check([ended], loan(2, ['out', 'back']))).stuck).toBe(1)
})
