/** Machines at random, for comparisons. */
import fc from 'fast-check'
import { assign, cancel, emit, enqueueActions, raise, sendParent, setup } from 'xstate'
import type { AnyStateMachine } from 'xstate'

export type Factory = (say: (what: string) => void) => AnyStateMachine

interface RandomNode {
  readonly kind: 'atomic' | 'compound' | 'parallel'
  readonly children: readonly RandomNode[]
  readonly on: readonly { readonly event: string; readonly to: number; readonly reenter: boolean }[]
  readonly after: readonly { readonly ms: number; readonly to: number }[]
  readonly entry: readonly string[]
  readonly exit: readonly string[]
  readonly invokes: boolean
  readonly history: 'none' | 'shallow' | 'deep'
  readonly isFinal: boolean
}

const actionNames = ['say', 'count', 'emit', 'raise', 'later', 'cancel', 'choose'] as const

export function randomNode(depth: number): fc.Arbitrary<RandomNode> {
  const kinds =
    depth === 0 ? (['atomic'] as const) : (['atomic', 'compound', 'compound', 'parallel'] as const)
  const names = fc.array(fc.constantFrom(...actionNames), { maxLength: 2 })
  return fc.record({
    kind: fc.constantFrom(...kinds),
    children:
      depth === 0
        ? fc.constant([])
        : fc.array(
            fc.oneof(
              { weight: 2, arbitrary: randomNode(0) },
              { weight: 1, arbitrary: randomNode(depth - 1) },
            ),
            { minLength: 2, maxLength: 3 },
          ),
    on: fc.array(
      fc.record({
        event: fc.constantFrom('A', 'B', 'C', 'D', 'RAISED', 'LATER', 'CHILD'),
        to: fc.nat(5),
        reenter: fc.boolean(),
      }),
      { maxLength: 2 },
    ),
    after: fc.array(fc.record({ ms: fc.integer({ min: 1, max: 30 }), to: fc.nat(5) }), { maxLength: 1 }),
    entry: names,
    exit: names,
    invokes: fc.boolean(),
    history: fc.constantFrom('none', 'shallow', 'deep'),
    isFinal: fc.boolean(),
  })
}

export function factoryOf(node: RandomNode): Factory {
  return (say) => {
    const child = setup({
      types: {} as { context: { n: number }; events: { type: string } },
    }).createMachine({
      context: { n: 0 },
      initial: 'wait',
      states: {
        wait: { after: { 7: 'told' } },
        told: { entry: sendParent({ type: 'CHILD' }), after: { 9: 'end' } },
        end: { type: 'final' },
      },
    })
    return setup({
      types: {} as { context: { n: number }; events: { type: string } },
      actors: { child },
      guards: { few: ({ context }) => context.n < 12 },
      actions: {
        say: ({ context }, where: string) => say(`${where} at ${context.n}`),
        count: assign({ n: ({ context }) => context.n + 1 }),
        emit: emit(({ context }) => ({ type: 'said', n: context.n })),
        raise: raise({ type: 'RAISED' }),
        later: raise({ type: 'LATER' }, { id: 'later', delay: 11 }),
        cancel: cancel('later'),
        choose: enqueueActions(({ context, enqueue }) => {
          if (context.n % 2 === 0) enqueue.assign({ n: context.n + 1 })
          else enqueue.emit({ type: 'odd' })
        }),
      },
    }).createMachine({
      context: { n: 0 },
      ...configOf(node, 'r', [], 0),
    } as never) as unknown as AnyStateMachine
  }
}

/** @param siblings keys that a transition of this node may go to */
function configOf(node: RandomNode, path: string, siblings: readonly string[], index: number): object {
  const kind = node.children.length === 0 ? 'atomic' : node.kind === 'atomic' ? 'atomic' : node.kind
  const isFinal = kind === 'atomic' && node.isFinal && index > 0
  if (isFinal) return { type: 'final', entry: actionsOf(node.entry, path) }
  const keys = kind === 'atomic' ? [] : node.children.map((_, n) => `s${n}`)
  const hasHistory = kind === 'compound' && node.history !== 'none'
  // Without `reenter`, a history state that leads back to where one is enters it a second time without an exit: XState then
  // leaves an actor running that is in no snapshot.
  const target = (to: number) => (siblings.length === 0 ? undefined : siblings[to % siblings.length])
  const inner: Record<string, object> = {}
  if (kind !== 'atomic') {
    const goals = kind === 'parallel' ? [] : [...keys, ...(hasHistory ? ['h'] : [])]
    node.children.forEach((child, n) => (inner[`s${n}`] = configOf(child, `${path}.s${n}`, goals, n)))
  }
  if (hasHistory) inner['h'] = { type: 'history', history: node.history, target: 's0' }
  return {
    ...(kind === 'parallel' ? { type: 'parallel' } : {}),
    ...(kind === 'compound' ? { initial: 's0' } : {}),
    ...(kind === 'atomic' ? {} : { states: inner }),
    entry: actionsOf(node.entry, path),
    exit: actionsOf(node.exit, path),
    on: Object.fromEntries(
      node.on.map(({ event, to, reenter }) => [
        event,
        { guard: 'few', target: target(to), reenter: reenter || target(to) === 'h', actions: ['count'] },
      ]),
    ),
    after: Object.fromEntries(
      node.after.map(({ ms, to }) => [
        ms,
        { guard: 'few', target: target(to), reenter: target(to) === 'h', actions: 'count' },
      ]),
    ),
    ...(node.invokes
      ? { invoke: { src: 'child', id: `c-${path}`, onDone: { guard: 'few', actions: ['count', 'emit'] } } }
      : {}),
  }
}

function actionsOf(names: readonly string[], where: string): unknown[] {
  return names.map((name) => (name === 'say' ? { type: 'say', params: where } : name))
}
