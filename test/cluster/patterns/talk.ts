/** Parents and children that talk: to and fro, events passed on, snapshots watched, references kept. */
import { assign, forwardTo, fromTransition, sendParent, sendTo, setup } from 'xstate'
import type { ActorRefFrom, AnyActorRef } from 'xstate'
import { defineSession } from 'troupe'

type Count = { type: 'ADD'; n: number } | { type: 'RESET' }
const counter = fromTransition(
  (state: { total: number; adds: number }, event: Count) => {
    switch (event.type) {
      case 'ADD':
        return { total: state.total + event.n, adds: state.adds + 1 }
      case 'RESET':
        return { total: 0, adds: state.adds }
    }
  },
  { total: 0, adds: 0 },
)

/** A reducer as a child, whose state its parent sees. */
const till = setup({
  types: {} as {
    context: { total: number; adds: number; seen: number }
    events: { type: 'SCAN'; price: number } | { type: 'VOID' } | { type: 'PAY' }
  },
  actors: { counter },
}).createMachine({
  context: { total: 0, adds: 0, seen: 0 },
  initial: 'scanning',
  output: ({ context: { total, adds } }) => ({ total, adds }),
  states: {
    scanning: {
      invoke: {
        src: 'counter',
        id: 'counter',
        onSnapshot: {
          actions: assign(({ context, event }) => ({ ...event.snapshot.context, seen: context.seen + 1 })),
        },
      },
      on: {
        SCAN: { actions: sendTo('counter', ({ event }) => ({ type: 'ADD', n: event.price })) },
        VOID: { actions: sendTo('counter', { type: 'RESET' }) },
        PAY: 'paid',
      },
    },
    paid: { type: 'final' },
  },
})

type Ball = { type: 'PING' } | { type: 'PONG' }
const echo = setup({ types: {} as { context: { hits: number }; events: Ball } }).createMachine({
  context: { hits: 0 },
  on: {
    PING: {
      actions: [
        assign({ hits: ({ context }) => context.hits + 1 }),
        sendParent({ type: 'PONG' }, { delay: 60 }),
      ],
    },
  },
})
/** To and fro, with the ball in the air for a while each time. */
const rally = setup({
  types: {} as { context: { left: number; pongs: number }; input: { rounds: number }; events: Ball },
  actors: { echo },
  actions: { serve: sendTo('echo', { type: 'PING' }, { delay: 40 }) },
}).createMachine({
  context: ({ input }) => ({ left: input.rounds, pongs: 0 }),
  invoke: { src: 'echo', id: 'echo' },
  initial: 'playing',
  output: ({ context, self }) => ({
    pongs: context.pongs,
    hits:
      (self.getSnapshot().children['echo']?.getSnapshot() as { context?: { hits: number } } | undefined)
        ?.context?.hits ?? null,
  }),
  states: {
    playing: {
      entry: 'serve',
      on: {
        PONG: [
          {
            guard: ({ context }) => context.pongs + 1 < context.left,
            actions: [assign({ pongs: ({ context }) => context.pongs + 1 }), 'serve'],
          },
          { target: 'over', actions: assign({ pongs: ({ context }) => context.pongs + 1 }) },
        ],
      },
    },
    over: { type: 'final' },
  },
})

/** A form that belongs to a child; the parent passes on what it is not concerned with. */
const form = setup({
  types: {} as {
    context: { fields: Record<string, string> }
    output: Record<string, string>
    events: { type: 'form.set'; name: string; value: string } | { type: 'form.submit' }
  },
}).createMachine({
  context: { fields: {} },
  initial: 'editing',
  output: ({ context }) => context.fields,
  states: {
    editing: {
      on: {
        'form.set': {
          actions: assign({
            fields: ({ context, event }) => ({ ...context.fields, [event.name]: event.value }),
          }),
        },
        'form.submit': {
          guard: ({ context }) => Object.keys(context.fields).length > 1,
          target: 'submitted',
        },
      },
    },
    submitted: { type: 'final' },
  },
})
const application = setup({
  types: {} as {
    context: { answers: Record<string, string>; passed: number }
    events: { type: 'form.set'; name: string; value: string } | { type: 'form.submit' }
  },
  actors: { form },
}).createMachine({
  context: { answers: {}, passed: 0 },
  initial: 'filling',
  output: ({ context }) => context,
  states: {
    filling: {
      invoke: {
        src: 'form',
        id: 'form',
        onDone: { target: 'filed', actions: assign({ answers: ({ event }) => event.output }) },
      },
      on: {
        'form.*': { actions: [assign({ passed: ({ context }) => context.passed + 1 }), forwardTo('form')] },
      },
    },
    filed: { type: 'final' },
  },
})

const heater = setup({
  types: {} as { context: { degrees: number }; events: { type: 'OFF' } },
}).createMachine({
  context: { degrees: 15 },
  initial: 'heating',
  states: {
    heating: {
      after: {
        70: {
          target: 'heating',
          reenter: true,
          actions: assign({ degrees: ({ context }) => context.degrees + 1 }),
        },
      },
      on: { OFF: 'off' },
    },
    off: {},
  },
})
/** Watches a child go on by itself, and acts on what it sees. */
const thermostat = setup({
  types: {} as { context: { seen: number[] }; events: { type: 'VENT' } },
  actors: { heater },
  guards: { isWarm: ({ context }) => context.seen.at(-1) === 20 },
}).createMachine({
  context: { seen: [] },
  invoke: {
    src: 'heater',
    id: 'heater',
    onSnapshot: {
      actions: assign({ seen: ({ context, event }) => [...context.seen, event.snapshot.context.degrees] }),
    },
  },
  initial: 'cold',
  output: ({ context }) => context.seen,
  states: {
    cold: { always: { guard: 'isWarm', target: 'warm', actions: sendTo('heater', { type: 'OFF' }) } },
    warm: { after: { 250: 'cosy' } },
    cosy: { type: 'final' },
  },
})

/** A reference to a child in the context, and one by its name in the system. */
const lamp = setup({
  types: {} as { context: { switched: number }; events: { type: 'TOGGLE' } },
}).createMachine({
  context: { switched: 0 },
  initial: 'dark',
  states: {
    dark: {
      on: { TOGGLE: { target: 'lit', actions: assign({ switched: ({ context }) => context.switched + 1 }) } },
    },
    lit: {
      after: { 120: 'dark' },
      on: {
        TOGGLE: { target: 'dark', actions: assign({ switched: ({ context }) => context.switched + 1 }) },
      },
    },
  },
})
const house = setup({
  types: {} as {
    context: { lamp: ActorRefFrom<typeof lamp>; presses: number }
    events: { type: 'PRESS' } | { type: 'PRESS_BY_NAME' } | { type: 'LEAVE' }
  },
  actors: { lamp },
  actions: { countPress: assign({ presses: ({ context }) => context.presses + 1 }) },
}).createMachine({
  context: ({ spawn }) => ({ lamp: spawn('lamp', { id: 'lamp', systemId: 'hall-lamp' }), presses: 0 }),
  initial: 'home',
  output: ({ context }) => ({
    presses: context.presses,
    switched: context.lamp.getSnapshot().context.switched,
  }),
  states: {
    home: {
      on: {
        PRESS: { actions: ['countPress', sendTo(({ context }) => context.lamp, { type: 'TOGGLE' })] },
        PRESS_BY_NAME: {
          actions: [
            'countPress',
            sendTo(({ system }) => system.get('hall-lamp') as AnyActorRef, { type: 'TOGGLE' }),
          ],
        },
        LEAVE: 'left',
      },
    },
    left: { type: 'final' },
  },
})

export const tillSession = defineSession({ name: 'till', version: 1, machine: till })
export const rallySession = defineSession({ name: 'rally', version: 1, machine: rally })
export const applicationSession = defineSession({ name: 'application', version: 1, machine: application })
export const thermostatSession = defineSession({ name: 'thermostat', version: 1, machine: thermostat })
export const houseSession = defineSession({ name: 'house', version: 1, machine: house })
