import { assign, emit, setup } from 'xstate'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineSession } from '../../actors/define-session.ts'
import { Driven } from './driven.ts'

describe('schemas for what the machine makes', () => {
  const machine = setup({
    types: {} as {
      context: { n: number }
      events: { type: 'SET'; n: number } | { type: 'TELL' } | { type: 'END' }
    },
  }).createMachine({
    context: { n: 1 },
    initial: 'on',
    output: ({ context }) => ({ n: context.n }),
    states: {
      on: {
        on: {
          SET: { actions: assign({ n: ({ event }) => event.n }) },
          TELL: { actions: emit(({ context }) => ({ type: 'told', n: context.n })) },
          END: 'off',
        },
      },
      off: { type: 'final' },
    },
  })
  it('refuse the transition that made it, with the path, and change nothing', () => {
    const session = new Driven(
      defineSession({
        name: 'd',
        version: 1,
        machine,
        context: z.object({ n: z.int().max(10) }),
        emitted: z.object({ type: z.literal('told'), n: z.int().max(5) }),
        output: z.object({ n: z.int().max(3) }),
      }),
    )
    const refused = (type: string, members: object, said: string): void => {
      const before = session.plan
      expect(() => session.send(type, members)).toThrow(said)
      expect(session.plan).toBe(before)
    }
    refused('SET', { n: 11 }, 'context.n: ')
    session.send('SET', { n: 6 })
    refused('TELL', {}, 'emitted event.n: ')
    refused('END', {}, 'output.n: ')
    session.send('SET', { n: 2 })
    session.send('TELL')
    session.send('END')
    expect(session.state).toMatchObject({ status: 'done', output: { n: 2 } })
  })
})
