/** Actors and timers with names that XState makes, where those names are others under the next version. */
import { setup } from 'xstate'
import { describe, expect, it } from 'vitest'
import { faultOf } from './fault-of.ts'
import { asItIs, children, migrated, order, pay, types, version } from './migrated.ts'
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
})
