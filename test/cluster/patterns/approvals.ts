/** People who decide: escalation, n of m in parallel, reminders, several levels. */
import { assign, emit, sendTo, setup } from 'xstate'
import { defineSession } from 'troupe'

/** Who does not answer is passed over: the next level is asked. The last level has all the time it wants. */
const escalation = setup({
  types: {} as {
    context: { chain: string[]; level: number; asked: string[]; by: string | null }
    input: { chain: string[] }
    events: { type: 'APPROVE' }
    emitted: { type: 'escalated'; to: string }
  },
  delays: { patience: ({ context }) => 150 + 100 * context.level },
  guards: { isLast: ({ context }) => context.level === context.chain.length - 1 },
}).createMachine({
  context: ({ input: { chain } }) => ({ chain, level: 0, asked: [], by: null }),
  initial: 'asking',
  output: ({ context: { by, asked } }) => ({ by, asked }),
  states: {
    asking: {
      entry: assign({ asked: ({ context: { asked, chain, level } }) => [...asked, chain[level] ?? ''] }),
      always: { guard: 'isLast', target: 'lastWord' },
      after: {
        patience: {
          target: 'asking',
          reenter: true,
          actions: [
            assign({ level: ({ context }) => context.level + 1 }),
            emit(({ context: { chain, level } }) => ({ type: 'escalated', to: chain[level] ?? '' })),
          ],
        },
      },
    },
    lastWord: {
      on: {
        APPROVE: {
          target: 'approved',
          actions: assign({ by: ({ context: { chain, level } }) => chain[level] ?? null }),
        },
      },
    },
    approved: { type: 'final' },
  },
})

const boardroom = setup({
  types: {} as {
    context: { count: number }
    events: { type: 'LEGAL' } | { type: 'MONEY' } | { type: 'PRESS' }
  },
  guards: { isEnough: ({ context }) => context.count >= 2 },
  actions: { count: assign({ count: ({ context }) => context.count + 1 }) },
})
const desk = (event: 'LEGAL' | 'MONEY' | 'PRESS') =>
  boardroom.createStateConfig({
    initial: 'waiting',
    states: {
      waiting: { on: { [event]: { target: 'agreed', actions: 'count' } } },
      agreed: { tags: 'agreed', type: 'final' },
    },
  })

/** Two of three desks are enough. */
const board = boardroom.createMachine({
  context: { count: 0 },
  initial: 'reviewing',
  output: ({ context }) => context.count,
  states: {
    reviewing: {
      type: 'parallel',
      always: { guard: 'isEnough', target: 'passed' },
      states: { legal: desk('LEGAL'), money: desk('MONEY'), press: desk('PRESS') },
    },
    passed: { type: 'final' },
  },
})

/** Steps of a newcomer, each with reminders until it is done. */
const onboarding = setup({
  types: {} as {
    context: { reminders: string[]; quiet: number }
    events: { type: 'PROFILE_FILLED' } | { type: 'MAIL_CONFIRMED' }
  },
  actions: {
    remind: assign({
      reminders: ({ context }, { of }: { of: string }) => [...context.reminders, of],
      quiet: ({ context }) => context.quiet + 1,
    }),
    beginStep: assign({ quiet: 0 }),
  },
  guards: { goesOn: ({ context }) => context.quiet < 2 },
  delays: { reminder: 200 },
}).createMachine({
  context: { reminders: [], quiet: 0 },
  initial: 'profile',
  output: ({ context }) => context.reminders,
  states: {
    profile: {
      entry: 'beginStep',
      initial: 'waiting',
      on: { PROFILE_FILLED: 'mail' },
      states: {
        waiting: {
          after: { reminder: { target: 'reminded', actions: { type: 'remind', params: { of: 'profile' } } } },
        },
        reminded: { always: [{ guard: 'goesOn', target: 'waiting' }, { target: 'silent' }] },
        silent: {},
      },
    },
    mail: {
      entry: 'beginStep',
      initial: 'waiting',
      on: { MAIL_CONFIRMED: 'welcomed' },
      states: {
        waiting: {
          after: { reminder: { target: 'reminded', actions: { type: 'remind', params: { of: 'mail' } } } },
        },
        reminded: { always: [{ guard: 'goesOn', target: 'waiting' }, { target: 'silent' }] },
        silent: {},
      },
    },
    welcomed: { type: 'final' },
  },
})

/** One signer: takes the pen, and signs or lets it lie. */
const signer = setup({
  types: {} as {
    context: { name: string; opened: number }
    input: { name: string }
    output: { name: string; opened: number }
    events: { type: 'OPEN' } | { type: 'SIGN' }
  },
}).createMachine({
  context: ({ input }) => ({ name: input.name, opened: 0 }),
  initial: 'invited',
  output: ({ context }) => context,
  states: {
    invited: {
      on: { OPEN: { target: 'reading', actions: assign({ opened: ({ context }) => context.opened + 1 }) } },
    },
    reading: { on: { SIGN: 'signed' }, after: { 3_600_000: 'invited' } },
    signed: { type: 'final' },
  },
})

/** Two signatures, in order, each a child of its own; a client's events go through to whoever holds the pen. */
const contract = setup({
  types: {} as {
    context: { signatures: string[] }
    events: { type: 'OPEN' } | { type: 'SIGN' }
  },
  actors: { signer },
  actions: {
    keep: assign({
      signatures: ({ context }, { name }: { name: string }) => [...context.signatures, name],
    }),
    pass: sendTo('signer', ({ event }) => event),
  },
}).createMachine({
  context: { signatures: [] },
  initial: 'seller',
  output: ({ context }) => context.signatures,
  on: { OPEN: { actions: 'pass' }, SIGN: { actions: 'pass' } },
  states: {
    seller: {
      invoke: {
        src: 'signer',
        id: 'signer',
        input: { name: 'seller' },
        onDone: { target: 'buyer', actions: { type: 'keep', params: ({ event }) => event.output } },
      },
    },
    buyer: {
      invoke: {
        src: 'signer',
        id: 'signer',
        input: { name: 'buyer' },
        onDone: { target: 'signed', actions: { type: 'keep', params: ({ event }) => event.output } },
      },
    },
    signed: { type: 'final' },
  },
})

export const escalationSession = defineSession({ name: 'escalation', version: 1, machine: escalation })
export const boardSession = defineSession({ name: 'board', version: 1, machine: board })
export const onboardingSession = defineSession({ name: 'onboarding', version: 1, machine: onboarding })
export const contractSession = defineSession({ name: 'contract', version: 1, machine: contract })
