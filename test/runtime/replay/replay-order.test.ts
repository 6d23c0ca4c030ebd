/** Which row goes on from which, and which timer it was. */
import { assign, sendParent, setup } from 'xstate'
import { expect, it } from 'vitest'
import { defineSession } from '../../../actors/define-session.ts'
import { Registry } from '../../../actors/registry.ts'
import type { RecordedTransition } from '../../../persistence/audit/recorded.ts'
import { SessionReplay } from '../../../runtime/replay/session-replay.ts'
import type { SessionReport } from '../../../runtime/replay/session-replay.ts'
import { Worlds } from '../../../runtime/replay/worlds.ts'
import { createTestKit } from '../../../runtime/testing/index.ts'

const pulse = setup({
  types: {} as { context: { ms: number; id: string }; input: { ms: number; id: string } },
  delays: { wait: ({ context }) => context.ms },
}).createMachine({
  context: ({ input }) => input,
  initial: 'waiting',
  states: {
    waiting: {
      after: {
        wait: { target: 'over', actions: sendParent(({ context }) => ({ type: 'PULSE', id: context.id })) },
      },
    },
    over: {},
  },
})

/** Two actors whose timers send the same event. */
const fleet = defineSession({
  name: 'fleet',
  version: 1,
  machine: setup({
    types: {} as {
      context: { order: string[]; n: number }
      events: { type: 'PULSE'; id: string } | { type: 'ADD' }
    },
    actors: { pulse },
  }).createMachine({
    context: { order: [], n: 0 },
    invoke: [
      { src: 'pulse', id: 'slow', input: { ms: 50, id: 'slow' } },
      { src: 'pulse', id: 'fast', input: { ms: 30, id: 'fast' } },
    ],
    on: {
      PULSE: { actions: assign({ order: ({ context, event }) => [...context.order, event.id] }) },
      ADD: { actions: assign({ n: ({ context }) => context.n + 1 }) },
    },
  }),
})

/** Created, three times ADD, then both timers: versions 1 to 6. */
async function life(): Promise<RecordedTransition[]> {
  const kit = await createTestKit({ definitions: [fleet] })
  try {
    await kit.createSession(fleet, { id: 'f' })
    for (let n = 0; n < 3; n++) await kit.updateSession('f', { type: 'ADD' })
    await kit.advance(100)
    return kit.history('f').map((row) => ({
      ...{ sessionId: 'f', epoch: row.epoch, version: row.version, timeMs: row.time, kind: row.kind },
      ...{ commitId: `c${row.version}`, previousCommitId: row.version === 1 ? null : `c${row.version - 1}` },
      ...{
        machine: 'fleet',
        machineVersion: 1,
        event: row.event,
        input: undefined,
        sender: null,
        failed: null,
      },
      ...{ value: row.state?.value, context: row.state?.context, status: row.state?.status ?? null },
      ...{ tags: row.state?.tags, output: undefined, isForgotten: false, redacted: [] },
    }))
  } finally {
    await kit.close()
  }
}

function replay(
  rows: readonly RecordedTransition[],
  branchPoints: ReadonlySet<string> = new Set(),
): SessionReport {
  const registry = new Registry()
  registry.register(fleet)
  const worlds = Worlds.install()
  try {
    const options = { registry, as: null, migrateAfter: null, statesOnly: false }
    const session = new SessionReplay('f', options, worlds, branchPoints)
    for (const row of rows) session.take(row)
    return session.report
  } finally {
    worlds.uninstall()
  }
}

it('of timers with the same event the soonest is the one that fired', async () => {
  const rows = await life()
  const timers = rows.filter(({ kind }) => kind === 'timer')
  expect(timers[1]?.context).toMatchObject({ order: ['fast', 'slow'] })
  expect(timers[0]?.event).toEqual(timers[1]?.event)
  expect(replay(rows)).toMatchObject({ rows: 6, equal: 6, divergence: null })
  // Nothing of the state tells which it was, until the other one has fired.
  const blind = rows.map((row) => (row === timers[0] ? { ...row, context: undefined } : row))
  expect(replay(blind)).toMatchObject({ rows: 6, equal: 5, divergence: null })
})

it('transitions of one commit follow each other', async () => {
  const rows = (await life()).map((row) =>
    row.version >= 2 && row.version <= 4 ? { ...row, commitId: 'many', previousCommitId: 'c1' } : row,
  )
  const after = rows.map((row) => (row.version === 5 ? { ...row, previousCommitId: 'many' } : row))
  expect(replay(after)).toMatchObject({ rows: 6, equal: 6, divergence: null, notComparable: new Map() })
})

it('what a server took back stays a branch of its own, from which nothing goes on', async () => {
  const rows = await life()
  const epoch = `${rows[0]?.epoch ?? ''}1`
  const again = rows
    .filter(({ version }) => version === 3 || version === 4)
    .map((row) => ({
      ...row,
      epoch,
      commitId: `d${row.version}`,
      previousCommitId: row.version === 3 ? 'c2' : 'd3',
    }))
  expect(replay([...rows, ...again], new Set(['c2']))).toMatchObject({ rows: 8, equal: 8, divergence: null })
  const lost = replay([...rows, ...again])
  expect(lost).toMatchObject({ rows: 8, equal: 6, divergence: null })
  expect(lost.notComparable.get('gap')).toMatchObject({ count: 1, version: 3, epoch })
})

it('of a fork each branch is replayed from where it began', async () => {
  const rows = await life()
  const twin = rows.filter(({ version }) => version === 3).map((row) => ({ ...row, commitId: 'c3-twin' }))
  const forked = rows.flatMap((row) => (row.version === 3 ? [row, ...twin] : [row]))
  expect(replay(forked)).toMatchObject({ rows: 7, equal: 7, divergence: null })
})
