/** Work that takes time: delays, polling, pipelines, time limits, work that is stopped. */
import { assign, fromPromise, setup } from 'xstate'
import { defineSession } from 'troupe'
import { pause } from './outside.ts'

/** Waits, asks, decides. */
const credit = setup({
  types: {} as {
    context: { income: number; score: number | null }
    input: { income: number }
    events: { type: 'SIGN' }
  },
  actors: {
    score: fromPromise<number, { income: number }>(async ({ input, signal }) => {
      await pause(120, signal)
      return Math.floor(input.income / 100)
    }),
  },
  guards: {
    isGood: ({ context }) => (context.score ?? 0) >= 30,
    isFair: ({ context }) => (context.score ?? 0) >= 20,
  },
}).createMachine({
  context: ({ input }) => ({ income: input.income, score: null }),
  initial: 'cooling',
  output: ({ context, event }) => ({ score: context.score, verdict: event.output as unknown }),
  states: {
    cooling: { after: { 200: 'scoring' } },
    scoring: {
      invoke: {
        src: 'score',
        id: 'score',
        input: ({ context }) => ({ income: context.income }),
        onDone: { target: 'deciding', actions: assign({ score: ({ event }) => event.output }) },
      },
    },
    deciding: {
      always: [
        { guard: 'isGood', target: 'granted' },
        { guard: 'isFair', target: 'offered' },
        { target: 'denied' },
      ],
    },
    offered: { on: { SIGN: 'granted' } },
    granted: { type: 'final', output: 'granted' },
    denied: { type: 'final', output: 'denied' },
  },
})

/** Asks a slow service again and again, with longer and longer pauses. */
const polling = setup({
  types: {} as {
    context: { readyAt: number; limit: number; asked: number; report: string | null }
    input: { readyAt: number; limit: number }
  },
  actors: {
    ask: fromPromise<string | null, { asked: number; readyAt: number }>(async ({ input, signal }) => {
      await pause(50, signal)
      return input.asked >= input.readyAt ? `report ${input.asked}` : null
    }),
  },
  delays: { backoff: ({ context }) => 40 * 2 ** context.asked },
  guards: { isTired: ({ context }) => context.asked >= context.limit },
}).createMachine({
  context: ({ input }) => ({ ...input, asked: 0, report: null }),
  initial: 'asking',
  output: ({ context: { asked, report } }) => ({ asked, report }),
  states: {
    asking: {
      entry: assign({ asked: ({ context }) => context.asked + 1 }),
      invoke: {
        src: 'ask',
        id: 'ask',
        input: ({ context: { asked, readyAt } }) => ({ asked, readyAt }),
        onDone: [
          {
            guard: ({ event }) => event.output !== null,
            target: 'ready',
            actions: assign({ report: ({ event }) => event.output }),
          },
          { guard: 'isTired', target: 'gaveUp' },
          { target: 'pausing' },
        ],
      },
    },
    pausing: { after: { backoff: 'asking' } },
    ready: { type: 'final' },
    gaveUp: { type: 'final' },
  },
})

const craft = (word: string) =>
  fromPromise<string, { text: string }>(async ({ input, signal }) => {
    await pause(70, signal)
    return `${input.text} ${word}`
  })

/** One after the other, each with what the one before made. */
const translation = setup({
  types: {} as {
    context: { text: string; versions: number }
    input: { text: string }
    events: { type: 'ACCEPT' }
  },
  actors: { translate: craft('translated'), proofread: craft('proofread'), typeset: craft('typeset') },
  actions: {
    take: assign({ text: (_, text: string) => text, versions: ({ context }) => context.versions + 1 }),
  },
}).createMachine({
  context: ({ input }) => ({ text: input.text, versions: 0 }),
  initial: 'working',
  output: ({ context }) => context,
  states: {
    working: {
      initial: 'translating',
      onDone: 'checking',
      states: {
        translating: {
          invoke: {
            src: 'translate',
            input: ({ context }) => context,
            onDone: {
              target: 'proofreading',
              actions: { type: 'take', params: ({ event }) => event.output },
            },
          },
        },
        proofreading: {
          invoke: {
            src: 'proofread',
            input: ({ context }) => context,
            onDone: { target: 'typesetting', actions: { type: 'take', params: ({ event }) => event.output } },
          },
        },
        typesetting: {
          invoke: {
            src: 'typeset',
            input: ({ context }) => context,
            onDone: { target: 'finished', actions: { type: 'take', params: ({ event }) => event.output } },
          },
        },
        finished: { type: 'final' },
      },
    },
    checking: { on: { ACCEPT: 'accepted' } },
    accepted: { type: 'final' },
  },
})

/** Whoever is first: the answer or the time limit. */
const race = setup({
  types: {} as { context: { workMs: number; limitMs: number }; input: { workMs: number; limitMs: number } },
  actors: {
    work: fromPromise<void, { workMs: number }>(({ input, signal }) => pause(input.workMs, signal)),
  },
  delays: { limit: ({ context }) => context.limitMs },
}).createMachine({
  context: ({ input }) => input,
  initial: 'working',
  output: ({ event }) => event.output as unknown,
  states: {
    working: {
      invoke: { src: 'work', id: 'work', input: ({ context }) => context, onDone: 'answered' },
      after: { limit: 'tooLate' },
    },
    answered: { type: 'final', output: 'answered' },
    tooLate: { type: 'final', output: 'too late' },
  },
})

/** An upload that is stopped, and begun anew: what the first came to is nobody's business any more. */
const upload = setup({
  types: {} as {
    context: { run: number; stored: number[] }
    events: { type: 'STOP' } | { type: 'START'; ms: number }
  },
  actors: {
    send: fromPromise<number, { run: number; ms: number }>(async ({ input, signal }) => {
      await pause(input.ms, signal)
      return input.run
    }),
  },
}).createMachine({
  context: { run: 0, stored: [] },
  initial: 'idle',
  output: ({ context }) => context,
  states: {
    idle: {
      on: { START: { target: 'sending', actions: assign({ run: ({ context }) => context.run + 1 }) } },
    },
    sending: {
      on: { STOP: 'idle' },
      invoke: {
        src: 'send',
        id: 'send',
        input: ({ context, event }) => ({ run: context.run, ms: event.type === 'START' ? event.ms : 0 }),
        onDone: {
          target: 'stored',
          actions: assign({ stored: ({ context, event }) => [...context.stored, event.output] }),
        },
      },
    },
    stored: { type: 'final' },
  },
})

export const creditSession = defineSession({ name: 'credit', version: 1, machine: credit })
export const pollingSession = defineSession({ name: 'polling', version: 1, machine: polling })
export const translationSession = defineSession({ name: 'translation', version: 1, machine: translation })
export const raceSession = defineSession({ name: 'race', version: 1, machine: race })
export const uploadSession = defineSession({ name: 'upload', version: 1, machine: upload })
