import fc from 'fast-check'
import { assign, emit, raise, setup } from 'xstate'
import { describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import { checkoutSession } from '../../actors/lifecycles/checkout.ts'
import { documentSession } from '../../actors/lifecycles/document.ts'
import { matchSession } from '../../actors/lifecycles/match.ts'
import { ticketSession } from '../../actors/lifecycles/ticket.ts'
import { Driven } from './driven.ts'

/** History of both kinds, parallel regions, raise, always, emit and ends, all at once. */
const tangled = defineSession({
  name: 'tangled',
  version: 1,
  machine: setup({
    types: {} as {
      context: { n: number; log: string[] }
      events: { type: 'A' | 'B' | 'C' | 'OUT' | 'IN' | 'DEEP' }
    },
  }).createMachine({
    context: { n: 0, log: [] },
    initial: 'busy',
    on: { C: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
    states: {
      busy: {
        type: 'parallel',
        tags: 'busy',
        on: { OUT: 'idle' },
        states: {
          left: {
            initial: 'one',
            states: {
              one: { on: { A: 'two' } },
              two: {
                initial: 'x',
                states: {
                  x: { on: { B: { target: 'y', actions: raise({ type: 'C' }) } } },
                  y: { tags: 'deep' },
                },
                on: { A: 'one' },
              },
              hist: { type: 'history', history: 'shallow' },
              deep: { type: 'history', history: 'deep' },
            },
          },
          right: {
            initial: 'p',
            states: {
              p: {
                on: { B: 'q' },
                entry: assign({ log: ({ context, event }) => [...context.log, event.type].slice(-5) }),
              },
              q: { on: { A: { target: 'p', actions: emit({ type: 'left-q' } as never) } } },
            },
          },
        },
      },
      idle: {
        on: { IN: 'busy.left.hist', DEEP: 'busy.left.deep' },
        always: { guard: ({ context }) => context.n > 12, target: 'over' },
      },
      over: { type: 'final' },
    },
  }),
})

const json = fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<unknown>
const who = fc.constantFrom('ann', 'bob', 'cid')
const skus = fc.constantFrom('tea', 'cup')

const machines: Record<
  string,
  { definition: unknown; input?: unknown; event: fc.Arbitrary<{ type: string }> }
> = {
  tangled: {
    definition: tangled,
    event: fc.constantFrom('A', 'B', 'C', 'OUT', 'IN', 'DEEP').map((type) => ({ type })),
  },
  document: {
    definition: documentSession,
    event: fc.record({ type: fc.constantFrom('SET', 'MERGE'), state: json }),
  },
  checkout: {
    definition: checkoutSession,
    event: fc.oneof(
      fc.record({
        type: fc.constant('ADD'),
        sku: skus,
        quantity: fc.integer({ min: 1, max: 9 }),
        unitPrice: fc.nat(999),
      }),
      fc.record({ type: fc.constant('REMOVE'), sku: skus }),
      fc.constantFrom({ type: 'PAY' }, { type: 'DECLINED', reason: 'no' }, { type: 'PAID', reference: 'r' }),
    ),
  },
  match: {
    definition: matchSession,
    event: fc.oneof(
      fc.record({ type: fc.constantFrom('JOIN', 'LEAVE'), player: who }),
      fc.record({ type: fc.constant('PLAY'), player: who, cell: fc.nat(8) }),
    ),
  },
  ticket: {
    definition: ticketSession,
    input: { subject: 's', customer: 'c' },
    event: fc.oneof(
      fc.record({
        type: fc.constant('REPLY'),
        from: fc.constantFrom('agent', 'customer'),
        text: fc.constant('t'),
      }),
      fc.constantFrom(
        { type: 'ESCALATE' },
        { type: 'RESOLVE' },
        { type: 'NOTE', text: 'n' },
        { type: 'ASSIGN', agent: 'a' },
      ),
      fc.constant({ type: 'CLOSE' }),
    ),
  },
}

describe('a session that is restored before each event goes on like one that never was', () => {
  it.each(Object.keys(machines))('%s', (name) => {
    const { definition, input, event } = machines[name] ?? expect.unreachable()
    fc.assert(
      fc.property(fc.array(event, { maxLength: 25 }), (events) => {
        const live = new Driven(definition, input)
        const restored = new Driven(definition, input)
        for (const one of events) {
          restored.restore()
          if (live.plan.status !== 'active') {
            expect(() => restored.send(one.type, one)).toThrow('ended')
            break
          }
          expect(restored.send(one.type, one)).toBe(live.send(one.type, one))
          const { state, internals, from, emitted, status } = live.plan
          expect(restored.plan).toMatchObject({ state, internals, from, emitted, status })
        }
      }),
      { numRuns: 150 },
    )
  })
})
