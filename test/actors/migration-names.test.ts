/** Actors and timers with names that XState makes, where those names are others under the next version. */
import { assign, fromPromise, setup } from 'xstate'
import { describe, expect, it } from 'vitest'
import { faultOf } from './fault-of.ts'
import { asItIs, children, migrated, order, pay, types, version } from './migrated.ts'
import type { Migrate } from './migrated.ts'
import { VirtualSession } from './virtual-session.ts'

describe('actors that states invoke without an id', () => {
  const states = (id?: string) => ({
    paying: {
      invoke: { src: 'pay', input: { cents: 5 }, onDone: 'paid' },
      ...(id === undefined ? {} : { id }),
    },
    paid: {},
  })
  const runsOf = (session: VirtualSession) => session.kernel.restore(session.record).runs

  it('MG1 go on where the machine has another id now, or invokes them at another place: the same execution', () => {
    const one = new VirtualSession(version(1, order({ pay }, states(), { id: 'order' })))
    const [before] = runsOf(one)
    const input = { cents: 5 }
    const invoke = [
      { src: 'log', input },
      { src: 'pay', input, onDone: 'paid' },
    ]
    const two = order({ pay, log: pay }, { paying: { invoke }, paid: {} }, { id: 'purchase' })
    one.migrateTo(version(2, two, asItIs))
    expect(runsOf(one)).toEqual([{ ...before, path: ['1.purchase.paying'] }])
    one.settle({ output: 'ok' })
    expect(one.state.value).toBe('paid')
  })

  it('MG1 go on as what the machine itself invokes, and so do children with timers and promises of their own', () => {
    const child = (id: string) =>
      setup({ types, actors: { pay } }).createMachine({
        id,
        context: {},
        initial: 'waiting',
        invoke: { src: 'pay', input: { cents: 1 } },
        states: { waiting: { after: { 50: 'gone' } }, gone: {} },
      })
    const machine = (id: string) =>
      order({ child: child(`${id}-child`) }, { busy: {} }, { id, invoke: { src: 'child' } })
    const session = new VirtualSession(version(1, machine('one')))
    const [before] = runsOf(session)
    session.advance(30)
    session.migrateTo(version(2, machine('two'), asItIs))
    expect(runsOf(session)).toEqual([{ ...before, path: ['0.two', '0.two-child'] }])
    session.advance(20)
    expect(children(session)['0.two']?.snapshot.value).toBe('gone')
  })

  it('MG1 do not where they had come to their end', () => {
    const paying = {
      type: 'parallel',
      states: {
        a: { invoke: { src: 'pay', input: { cents: 5 } } },
        b: { invoke: { src: 'pay', input: { cents: 5 } } },
      },
    }
    const session = new VirtualSession(version(1, order({ pay }, { paying })))
    session.settle({ output: 'ok' })
    expect(runsOf(session)).toMatchObject([{ path: ['0.order.paying.b'] }])
    session.migrateTo(version(2, order({ pay }, { paying }, { id: 'purchase' }), asItIs))
    expect(runsOf(session)).toMatchObject([{ path: ['0.purchase.paying.b'] }])
  })

  it('must be told of where their state has another id of its own: it may be the same, or another one', () => {
    const one = order({ pay }, states('first'))
    const two = order({ pay }, states('second'))
    const fault = faultOf(() => migrated(one, [], two))
    expect(fault.message).toContain(
      'it cannot be told whether actor "0.first" is what state "paying" invokes, since neither has an id of its own',
    )
    const anew = migrated(one, [], two, (stored) => ({ ...asItIs(stored), starts: ['paying'] }))
    expect(runsOf(anew)).toMatchObject([{ path: ['0.second'] }])
    const ended = migrated(one, [], two, (stored) => ({ ...asItIs(stored), children: {} }))
    expect(runsOf(ended)).toEqual([])
  })

  describe('in a list that has changed', () => {
    const log = fromPromise<string, { cents: number }>(({ input }) => Promise.resolve(`noted ${input.cents}`))
    const invoking = (...srcs: readonly [src: string, cents: number][]) =>
      order(
        { pay, log, log2: log },
        {
          busy: {
            invoke: srcs.map(([src, cents]) => ({
              src,
              input: { cents },
              onDone: { actions: assign({ [`${src}${cents}`]: ({ event }) => event.output as unknown }) },
            })),
          },
        },
      )
    const inputs = (session: VirtualSession) =>
      session.kernel.promisesOf(session.kernel.restore(session.record)).map(({ src, input }) => [src, input])
    const settleAll = (session: VirtualSession) => {
      for (const { key } of runsOf(session)) session.settle({ output: `of ${key}` }, key)
      return session.state.context
    }
    const [one, two, three] = [1, 2, 3].map((cents): [string, number] => ['pay', cents])
    if (one === undefined || two === undefined || three === undefined) throw new Error('three')

    it('MG1 none gets the promise or the timers of another that had its place', () => {
      const session = migrated(invoking(['log', 0], one), [], invoking(one))
      expect(runsOf(session)).toMatchObject([{ key: 2, path: ['0.order.busy'] }])
      expect(settleAll(session)).toEqual({ pay1: 'of 2' })

      const child = (ms: number) =>
        setup({ types }).createMachine({
          context: {},
          initial: 'on',
          states: { on: { after: { [ms]: 'off' } }, off: {} },
        })
      const two = (...srcs: string[]) =>
        order({ a: child(10), b: child(20) }, { busy: { invoke: srcs.map((src) => ({ src })) } })
      const timed = migrated(two('a', 'b'), [], two('b'))
      timed.advance(10)
      expect(children(timed)['0.order.busy']?.snapshot.value).toBe('on')
      timed.advance(10)
      expect(children(timed)['0.order.busy']?.snapshot.value).toBe('off')
    })

    it('MG1 nor where migrate has left that other out', () => {
      const session = migrated(
        invoking(['log', 0], one),
        [],
        invoking(one),
        ({ children: { '0.order.busy': _, ...rest }, ...stored }) => ({
          ...asItIs({ ...stored, children: rest }),
          children: rest,
        }),
      )
      expect(settleAll(session)).toEqual({ pay1: 'of 2' })
    })

    it('MG1 several of the same logic go on in their order, also where one has ended', () => {
      const later = invoking(['log', 0], one, two)
      const session = migrated(invoking(one, two), [], later)
      expect(inputs(session)).toEqual([
        ['pay', { cents: 1 }],
        ['pay', { cents: 2 }],
      ])
      expect(settleAll(session)).toEqual({ pay1: 'of 1', pay2: 'of 2' })

      const ended = new VirtualSession(version(1, invoking(one, two)))
      ended.settle({ output: 'done' }, 1)
      ended.migrateTo(version(2, later, asItIs))
      expect(settleAll(ended)).toEqual({ pay1: 'done', pay2: 'of 2' })
    })

    it('MG1 they go on where they have got an id', () => {
      const named = (state: object) => ({ ...state, id: 'given' })
      const paying = (invoke: object[]) => order({ pay }, { busy: { invoke } })
      const input = { cents: 5 }
      const session = migrated(paying([{ src: 'pay', input }]), [], paying([named({ src: 'pay', input })]))
      expect(runsOf(session)).toMatchObject([{ key: 1, path: ['given'] }])
      const more = migrated(
        paying([{ src: 'pay', input }]),
        [],
        paying([named({ src: 'pay', input }), { src: 'pay', input }]),
      )
      expect(runsOf(more)).toMatchObject([{ key: 1, path: ['1.order.busy'] }])
    })

    const left =
      (...ids: string[]): Migrate =>
      ({ children: all, value, context }) => ({
        value,
        context,
        children: Object.fromEntries(Object.entries(all).filter(([id]) => ids.includes(id))),
      })

    it('must be told of where there are more of them or fewer', () => {
      const message =
        'it cannot be told which of "0.order.busy", "1.order.busy" is which of those that state "busy" invokes now'
      for (const [now, migrate] of [
        [[two], asItIs],
        [[three, one, two], asItIs],
        [[three, one, two], left()],
      ] as const) {
        const fault = faultOf(() => migrated(invoking(one, two), [], invoking(...now), migrate))
        expect(fault.message).toContain(message)
        expect(fault.message).toContain('name the state in starts')
      }
      const chosen = migrated(invoking(one, two), [], invoking(two), left('1.order.busy'))
      expect(settleAll(chosen)).toEqual({ pay2: 'of 2' })
      const anew = migrated(invoking(one, two), [], invoking(three, one, two), (stored) => ({
        ...asItIs(stored),
        starts: ['busy'],
      }))
      expect(settleAll(anew)).toEqual({ pay3: 'of 3', pay1: 'of 4', pay2: 'of 5' })
    })

    it('must be told of where another goes on under the name of one whose logic is not there any more', () => {
      const fault = faultOf(() => migrated(invoking(one, ['log', 0]), [], invoking(['log', 0], ['log2', 1])))
      expect(fault.message).toContain(
        'it cannot be told whether "0.order.busy" is what state "busy" invokes now with other logic',
      )
      const ended = migrated(
        invoking(one, ['log', 0]),
        [],
        invoking(['log', 0], ['log2', 1]),
        left('1.order.busy'),
      )
      expect(inputs(ended)).toEqual([['log', { cents: 0 }]])
    })

    it('a child machine is named; one that stops anyway is not asked about', () => {
      const child = (count: number) =>
        setup({ types, actors: { pay } }).createMachine({
          context: {},
          initial: 'w',
          states: {
            w: { invoke: Array.from({ length: count }, () => ({ src: 'pay', input: { cents: 1 } })) },
          },
        })
      const parent = (count: number) =>
        order({ c: child(count) }, { busy: { invoke: { id: 'c', src: 'c' } }, other: {} })
      const fault = faultOf(() => migrated(parent(1), [], parent(2)))
      expect(fault.message).toContain('state "w" of actor "c" invokes now')
      expect(fault.message).not.toContain('starts')
      const moved = migrated(parent(1), [], parent(2), ({ context }) => ({ value: 'other', context }))
      expect(children(moved)).toEqual({})
    })
  })

  it('MG1 start anew where they are of another kind now, or what was inline has got a name', () => {
    const machine = setup({ types }).createMachine({ context: {}, initial: 'on', states: { on: {} } })
    const inline = (src: unknown, actors = {}) => order(actors, { busy: { invoke: { id: 'one', src } } })
    const unnamed = (src: unknown) => order({}, { busy: { invoke: { src } } })
    const named = migrated(inline(pay), [], inline('pay', { pay }))
    expect(runsOf(named)).toMatchObject([{ key: 2, path: ['one'] }])
    expect(runsOf(migrated(unnamed(machine), [], unnamed(pay)))).toMatchObject([{ path: ['0.order.busy'] }])
    const other = migrated(unnamed(pay), [], unnamed(machine))
    expect(children(other)['0.order.busy']?.snapshot.value).toBe('on')
    expect(runsOf(other)).toEqual([])
  })
})
