/** Machines that the tests of stores and hosts drive. */
import { assign, emit, setup } from 'xstate'
import { z } from 'zod'
import { defineSession } from '../../actors/define-session.ts'

type CounterEvent =
  | { type: 'ADD'; by?: number }
  | { type: 'TAKE'; by: number }
  | { type: 'ACT'; by?: number }
  | { type: 'TELL' }
  | { type: 'FILL'; size: number }
  | { type: 'BREAK' }
  | { type: 'STOP' }

/** What a counter's action saw when it ran. */
export interface Act {
  readonly n: number
  readonly by: number
}

/**
 * `counter`: ADD counts, TAKE needs enough, ACT counts and acts, TELL only emits, FILL grows, BREAK throws, STOP ends.
 * @param act what the action of ACT does
 */
export function counterSession(act: (act: Act) => void | Promise<void> = () => undefined, version = 1) {
  const machine = setup({
    types: {} as {
      context: { n: number; ballast: string }
      input: { n?: number; ballast?: string } | undefined
      events: CounterEvent
      emitted: { type: 'told'; n: number }
    },
    actions: {
      // Returned, so that a promise that is rejected later reaches the host.
      act: ({ context, event }) => act({ n: context.n, by: (event as { by?: number }).by ?? 0 }) as void,
    },
  }).createMachine({
    id: 'counter',
    context: ({ input }) => ({ n: input?.n ?? 0, ballast: input?.ballast ?? '' }),
    initial: 'on',
    output: ({ context }) => ({ n: context.n }),
    states: {
      on: {
        on: {
          ADD: { actions: assign({ n: ({ context, event }) => context.n + (event.by ?? 1) }) },
          TAKE: {
            guard: ({ context, event }) => context.n >= event.by,
            actions: assign({ n: ({ context, event }) => context.n - event.by }),
          },
          ACT: { actions: [assign({ n: ({ context }) => context.n + 1 }), 'act'] },
          TELL: { actions: emit(({ context }) => ({ type: 'told', n: context.n })) },
          FILL: { actions: assign({ ballast: ({ event }) => 'x'.repeat(event.size) }) },
          BREAK: {
            actions: assign(() => {
              throw new Error('it broke')
            }),
          },
          STOP: 'off',
        },
      },
      off: { type: 'final' },
    },
  })
  return defineSession({ name: 'counter', version, machine })
}

const strictEvents = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('PUT'),
    item: z.strictObject({ sku: z.string(), count: z.int().default(1) }),
  }),
])

/** `strict`: an event schema that refuses with paths and fills in a default. */
export const strictSession = defineSession({
  name: 'strict',
  version: 1,
  events: strictEvents,
  input: z.strictObject({ owner: z.string() }),
  machine: setup({
    types: {} as {
      context: { owner: string; items: { sku: string; count: number }[] }
      input: { owner: string }
      events: z.infer<typeof strictEvents>
    },
  }).createMachine({
    context: ({ input }) => ({ owner: input.owner, items: [] }),
    on: { PUT: { actions: assign({ items: ({ context, event }) => [...context.items, event.item] }) } },
  }),
})

export function contextIn(record: { readonly state: string }): { n: number; ballast: string } {
  return (JSON.parse(record.state) as { context: { n: number; ballast: string } }).context
}
