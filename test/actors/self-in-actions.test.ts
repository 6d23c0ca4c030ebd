/** Custom actions run after the commit: what they do to their actor is told, and changes nothing. */
import { assign, sendTo, setup } from 'xstate'
import type { AnyActorRef, AnyStateMachine } from 'xstate'
import { describe, expect, it } from 'vitest'
import { defineSession } from '../../actors/define-session.ts'
import type { Logger } from '../../actors/ports.ts'
import { runEffects } from '../../runtime/host/effects.ts'
import { Kernel } from '../../actors/kernel.ts'
import { Driven, recordOf } from './driven.ts'

interface Told {
  readonly action: string
  readonly reason: string
}

const silent = (): void => undefined
const silentLog: Logger = { debug: silent, info: silent, warn: silent, error: silent }

/** A session whose actions are run after each step. */
class Acting {
  readonly told: Told[] = []
  readonly session: Driven

  constructor(machine: AnyStateMachine) {
    this.session = new Driven(defineSession({ name: 'driven', version: 1, machine }))
  }

  send(...types: string[]): void {
    const log: Logger = {
      ...silentLog,
      error: ({ action, reason }: Partial<Told>) =>
        void this.told.push({ action: String(action), reason: String(reason) }),
    }
    for (const type of types) {
      if (!this.session.send(type)) continue
      const { plan } = this.session
      runEffects(plan.effects, recordOf(plan), log)
    }
  }
}

const late: AnyActorRef[] = []
const seen: unknown[] = []
const basic = setup({
  types: {} as { context: { n: number } },
  actions: {
    send: ({ self }) => {
      self.send({ type: 'INC' })
      seen.push('after')
    },
    stop: ({ self }) => void (self as AnyActorRef).stop(),
    keep: ({ self }) => void late.push(self),
    read: ({ self }) => void seen.push((self.getSnapshot() as { context?: unknown } | undefined)?.context),
  },
})
const on = {
  SEND: { actions: 'send' },
  STOP: { actions: 'stop' },
  KEEP: { actions: 'keep' },
  READ: { actions: 'read' },
  INC: { actions: basic.assign({ n: ({ context }) => context.n + 1 }) },
} as const

const plain = basic.createMachine({ context: { n: 0 }, on })
const child = basic.createMachine({ context: { n: 0 }, on })
const withChildren = setup({
  types: {} as { context: { n: number } },
  actors: { child },
  actions: plain.implementations.actions as never,
}).createMachine({
  context: { n: 0 },
  invoke: { src: 'child', id: 'c' },
  on: {
    ...(on as object),
    INC: { actions: assign({ n: ({ context }) => context.n + 1 }) },
    CHILD_SEND: { actions: sendTo('c', { type: 'SEND' }) },
    CHILD_STOP: { actions: sendTo('c', { type: 'STOP' }) },
    CHILD_INC: { actions: sendTo('c', { type: 'INC' }) },
  },
})

const INSTEAD = /does nothing in an action, .*raise, sendTo or enqueueActions .* updateSession/

describe.each([
  ['a machine alone', plain],
  ['a machine with children', withChildren],
])('%s', (_name, machine: AnyStateMachine) => {
  it('self.send() in an action is told, and the action goes on', () => {
    seen.length = 0
    const acting = new Acting(machine)
    acting.send('SEND', 'INC')
    expect(acting.told).toEqual([{ action: 'send', reason: expect.stringMatching(INSTEAD) as string }])
    expect(acting.told[0]?.reason).toMatch(/^self\.send\(\)/)
    expect(seen).toEqual(['after'])
    expect(acting.session.context).toEqual({ n: 1 })
  })

  it('self.stop() is told, and the session takes events as before', () => {
    const acting = new Acting(machine)
    acting.send('STOP', 'INC', 'STOP', 'INC')
    expect(acting.told.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/^self\.stop\(\) does nothing/),
      expect.stringMatching(/^self\.stop\(\) does nothing/),
    ])
    expect(acting.session.context).toEqual({ n: 2 })
    acting.session.restore()
    acting.send('INC')
    expect(acting.session.context).toEqual({ n: 3 })
  })

  it('so it is long after the action, and nothing is thrown', () => {
    late.length = 0
    const acting = new Acting(machine)
    acting.send('KEEP', 'INC')
    expect(() => {
      late[0]?.send({ type: 'INC' })
      late[0]?.stop()
    }).not.toThrow()
    acting.send('INC')
    expect(acting.told.map(({ action }) => action)).toEqual(['keep', 'keep'])
    expect(acting.session.context).toEqual({ n: 2 })
  })
})

it('a child: the same, and it can be read', () => {
  seen.length = 0
  const acting = new Acting(withChildren)
  acting.send('CHILD_SEND', 'CHILD_STOP', 'CHILD_INC', 'INC', 'READ')
  expect(acting.told.map(({ action }) => action)).toEqual(['send', 'stop'])
  expect(acting.session.plan.internals).toContain('"context":{"n":1}')
  expect(seen).toEqual(['after', { n: 1 }])
})

it('what an action sends to another actor of the session is ignored, and told', () => {
  const said: string[] = []
  const machine = setup({ actors: { child } }).createMachine({
    invoke: { src: 'child', id: 'c', systemId: 'the-child' },
    on: {
      SEND: { actions: ({ system }) => void (system.get('the-child') as AnyActorRef).send({ type: 'INC' }) },
    },
  })
  const kernel = new Kernel(defineSession({ name: 'driven', version: 1, machine }), (...parts) =>
    said.push(parts.join(' ')),
  )
  const first = kernel.initial(undefined)
  const plan = kernel.transition(kernel.restore(recordOf(first)), { type: 'SEND' })
  if (plan === null) expect.unreachable('it asks for an action')
  expect(said).toEqual([])
  runEffects(plan.effects, recordOf(plan), silentLog)
  expect(said).toEqual([expect.stringMatching(/^event "INC" to actor "c" was ignored: .* use sendTo/)])
  const after = kernel.transition(plan.live, { type: 'SEND' })
  expect(after?.internals).toContain('"context":{"n":0}')
})

it('the root of a tree cannot be stopped from outside of a step, by whatever way', () => {
  const acting = new Acting(withChildren)
  acting.session.plan.live.root?.stop()
  acting.send('INC')
  expect(acting.session.context).toEqual({ n: 1 })
})
