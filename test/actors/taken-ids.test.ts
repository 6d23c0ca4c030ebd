/** An actor that is spawned under an id that is taken: the older one stops, where XState would leave it running without a name. */
import { assign, fromPromise, sendParent, setup, spawnChild } from 'xstate'
import { expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import { VirtualSession } from './virtual-session.ts'

const machine = setup({
  types: {} as { context: { ticks: number; outputs: unknown[] } },
  actors: {
    ticker: setup({}).createMachine({ after: { 100: { actions: sendParent({ type: 'TICK' }) } } }),
    work: fromPromise(() => Promise.resolve('in vain')),
  },
}).createMachine({
  context: { ticks: 0, outputs: [] },
  on: {
    SPAWN: { actions: [spawnChild('ticker', { id: 'ticker' }), spawnChild('work', { id: 'work' })] },
    TICK: { actions: assign({ ticks: ({ context }) => context.ticks + 1 }) },
    'xstate.done.actor.*': {
      actions: assign({
        outputs: ({ context, event }) => [...context.outputs, event['output'] as unknown],
      }),
    },
  },
})

it('its timers do not fire, and what its promise comes to is not taken', () => {
  const session = new VirtualSession(defineSession({ name: 'driven', version: 1, machine }))
  session.send({ type: 'SPAWN' })
  const [older] = session.kernel.restore(session.record).runs
  session.advance(60)
  session.send({ type: 'SPAWN' })
  session.advance(60)
  expect(session.state.context).toMatchObject({ ticks: 0 })
  session.advance(40)
  expect(session.state.context).toMatchObject({ ticks: 1 })
  const live = session.kernel.restore(session.record)
  expect(live.runs).toHaveLength(1)
  expect(session.kernel.settle(live, older?.key ?? -1, { output: 'of the older' })).toBeNull()
  session.settle({ output: 'of the newer' })
  expect(session.state.context).toMatchObject({ outputs: ['of the newer'] })
})
