/** One machine and its clock: cycles, pauses with history, turns with a time limit, queues, typing that comes to rest. */
import { assign, cancel, emit, enqueueActions, not, raise, setup } from 'xstate'
import { defineSession } from 'troupe'

/** Laps that can be paused, and go on where they were. */
const stopwatch = setup({
  types: {} as {
    context: { laps: number; pauses: number }
    events: { type: 'PAUSE' } | { type: 'RESUME' }
  },
  actions: { lap: assign({ laps: ({ context }) => context.laps + 1 }) },
}).createMachine({
  context: { laps: 0, pauses: 0 },
  initial: 'running',
  output: ({ context }) => context,
  states: {
    running: {
      initial: 'first',
      on: { PAUSE: 'paused' },
      onDone: 'stopped',
      states: {
        first: { after: { 200: { target: 'second', actions: 'lap' } } },
        second: { after: { 200: { target: 'third', actions: 'lap' } } },
        third: { after: { 200: { target: 'end', actions: 'lap' } } },
        end: { type: 'final' },
        where: { type: 'history' },
      },
    },
    paused: {
      entry: assign({ pauses: ({ context }) => context.pauses + 1 }),
      on: { RESUME: 'running.where' },
    },
    stopped: { type: 'final' },
  },
})

/** Steps back and forth; help can be asked for anywhere, and leads back to the very field. */
const wizard = setup({
  types: {} as {
    context: { name: string; city: string; helped: number }
    events:
      | { type: 'NAME'; name: string }
      | { type: 'CITY'; city: string }
      | { type: 'BACK' }
      | { type: 'HELP' }
      | { type: 'THANKS' }
      | { type: 'SUBMIT' }
  },
  guards: { hasCity: ({ context }) => context.city !== '' },
}).createMachine({
  context: { name: '', city: '', helped: 0 },
  initial: 'steps',
  output: ({ context }) => context,
  states: {
    steps: {
      initial: 'person',
      on: { HELP: 'help' },
      states: {
        person: {
          on: { NAME: { target: 'address', actions: assign({ name: ({ event }) => event.name }) } },
        },
        address: {
          initial: 'empty',
          on: { BACK: 'person' },
          states: {
            empty: {
              always: { guard: 'hasCity', target: 'filled' },
              on: { CITY: { target: 'filled', actions: assign({ city: ({ event }) => event.city }) } },
            },
            filled: {
              on: { CITY: { actions: assign({ city: ({ event }) => event.city }) }, SUBMIT: '#submitted' },
            },
          },
        },
        last: { type: 'history', history: 'deep' },
      },
    },
    help: {
      entry: assign({ helped: ({ context }) => context.helped + 1 }),
      on: { THANKS: 'steps.last' },
      after: { 3_600_000: 'steps' },
    },
    submitted: { id: 'submitted', type: 'final' },
  },
})

/** Red, green, yellow, round and round; a pedestrian light beside it. */
const trafficLight = setup({
  types: {} as {
    context: { cycles: number; rounds: number; walks: number }
    input: { rounds: number }
    emitted: { type: 'walk' }
  },
  guards: { isEnough: ({ context }) => context.cycles === context.rounds },
  delays: { green: ({ context }) => 60 + 20 * context.cycles },
}).createMachine({
  context: ({ input }) => ({ rounds: input.rounds, cycles: 0, walks: 0 }),
  type: 'parallel',
  output: ({ context: { cycles, walks } }) => ({ cycles, walks }),
  states: {
    cars: {
      initial: 'red',
      states: {
        red: {
          entry: raise({ type: 'WALK' }),
          after: { 100: 'green' },
          exit: raise({ type: 'STOP' }),
        },
        green: { after: { green: 'yellow' } },
        yellow: {
          after: {
            50: { target: 'round', actions: assign({ cycles: ({ context }) => context.cycles + 1 }) },
          },
        },
        round: { always: [{ guard: 'isEnough', target: 'off' }, { target: 'red' }] },
        off: { type: 'final', entry: raise({ type: 'OFF' }) },
      },
    },
    walkers: {
      initial: 'waiting',
      on: { OFF: '.off' },
      states: {
        waiting: {
          on: {
            WALK: {
              target: 'walking',
              actions: [assign({ walks: ({ context }) => context.walks + 1 }), emit({ type: 'walk' })],
            },
          },
        },
        walking: { on: { STOP: 'waiting' } },
        off: { type: 'final' },
      },
    },
  },
})

/** Calls are queued; the lift takes one after the other, and tells itself when it is free. */
const lift = setup({
  types: {} as {
    context: { floor: number; queue: number[]; visited: number[] }
    events: { type: 'CALL'; floor: number } | { type: 'NEXT' } | { type: 'NIGHT' }
  },
  guards: {
    hasCalls: ({ context }) => context.queue.length > 0,
    isThere: ({ context }) => context.queue[0] === context.floor,
  },
  actions: {
    step: assign({
      floor: ({ context: { floor, queue } }) => floor + Math.sign((queue[0] ?? floor) - floor),
    }),
  },
}).createMachine({
  context: { floor: 0, queue: [], visited: [] },
  initial: 'idle',
  output: ({ context: { floor, visited } }) => ({ floor, visited }),
  on: {
    CALL: {
      actions: [
        assign({ queue: ({ context, event }) => [...context.queue, event.floor] }),
        raise({ type: 'NEXT' }),
      ],
    },
  },
  states: {
    idle: {
      on: {
        NEXT: { guard: 'hasCalls', target: 'moving' },
        NIGHT: { guard: not('hasCalls'), target: 'parked' },
      },
    },
    moving: {
      always: { guard: 'isThere', target: 'open' },
      after: { 60: { target: 'moving', reenter: true, actions: 'step' } },
    },
    open: {
      entry: assign({
        visited: ({ context }) => [...context.visited, context.floor],
        queue: ({ context }) => context.queue.slice(1),
      }),
      after: { 90: { target: 'idle', actions: raise({ type: 'NEXT' }) } },
    },
    parked: { type: 'final' },
  },
})

/** Two players in turn; who lets the time pass loses the turn, and after three such turns the game is over. */
const turns = setup({
  types: {} as {
    context: { turn: number; played: string[]; missed: number }
    events: { type: 'PLAY'; card: string } | { type: 'TURN_OVER' }
  },
  actions: {
    startTurn: enqueueActions(({ context, enqueue }) => {
      enqueue.cancel('turn')
      // The first turn may take as long as it likes.
      enqueue.raise({ type: 'TURN_OVER' }, { id: 'turn', delay: context.played.length < 2 ? 3_600_000 : 150 })
    }),
    pass: assign({ turn: ({ context }) => 1 - context.turn }),
  },
}).createMachine({
  context: { turn: 0, played: [], missed: 0 },
  initial: 'playing',
  output: ({ context }) => context,
  states: {
    playing: {
      entry: 'startTurn',
      exit: cancel('turn'),
      always: { guard: ({ context }) => context.missed === 3, target: 'over' },
      on: {
        PLAY: {
          guard: ({ context, event }) => event.card.startsWith(context.turn === 0 ? 'red' : 'black'),
          actions: [
            assign({ played: ({ context, event }) => [...context.played, event.card] }),
            'pass',
            'startTurn',
          ],
        },
        TURN_OVER: {
          actions: [assign({ missed: ({ context }) => context.missed + 1 }), 'pass', 'startTurn'],
        },
      },
    },
    over: { type: 'final' },
  },
})

/** Saves what was typed once the typing has come to rest: each key starts the wait anew. */
const draft = setup({
  types: {} as {
    context: { text: string; saved: string[] }
    events: { type: 'TYPE'; text: string } | { type: 'SAVE' } | { type: 'CLOSE' }
  },
}).createMachine({
  context: { text: '', saved: [] },
  initial: 'clean',
  output: ({ context }) => context,
  on: {
    TYPE: {
      target: '.dirty',
      reenter: true,
      actions: [
        assign({ text: ({ context, event }) => context.text + event.text }),
        cancel('save'),
        raise({ type: 'SAVE' }, { id: 'save', delay: ({ event }) => (event.text === '.' ? 120 : 3_600_000) }),
      ],
    },
  },
  states: {
    clean: { on: { CLOSE: 'closed' } },
    dirty: {
      on: {
        SAVE: {
          target: 'clean',
          actions: assign({ saved: ({ context }) => [...context.saved, context.text] }),
        },
      },
    },
    closed: { type: 'final' },
  },
})

export const stopwatchSession = defineSession({ name: 'stopwatch', version: 1, machine: stopwatch })
export const wizardSession = defineSession({ name: 'wizard', version: 1, machine: wizard })
export const trafficLightSession = defineSession({ name: 'traffic-light', version: 1, machine: trafficLight })
export const liftSession = defineSession({ name: 'lift', version: 1, machine: lift })
export const turnsSession = defineSession({ name: 'turns', version: 1, machine: turns })
export const draftSession = defineSession({ name: 'draft', version: 1, machine: draft })
