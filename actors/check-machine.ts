/** What keeps a machine from working here, found before any session has it. */
import type { AnyActorLogic, AnyStateMachine, AnyStateNode } from 'xstate'
import { kindOfLogic } from './actor-logic.ts'

/** @returns what is wrong, with the path of the state; `null`: nothing that can be seen from outside */
export function problemOfMachine(machine: AnyStateMachine): string | null {
  return problemOfActors(machine) ?? problemOfNode(machine, machine.root)
}

function problemOfActors({ implementations }: AnyStateMachine): string | null {
  for (const [name, logic] of Object.entries(implementations.actors)) {
    const problem = problemOfLogic(logic as AnyActorLogic, `actor "${name}"`)
    if (problem !== null) return problem
  }
  return null
}

function problemOfLogic(logic: AnyActorLogic, what: string): string | null {
  switch (kindOfLogic(logic)) {
    case 'machine': {
      const problem = problemOfMachine(logic as AnyStateMachine)
      return problem && `${what}: ${problem}`
    }
    case 'transition':
    case 'promise':
      return null
    case 'other':
      return (
        `${what} is made by fromCallback or fromObservable, which holds no state that another process could go on ` +
        'from: use fromPromise, a machine with timers, or send the events from outside'
      )
  }
}

function problemOfNode(machine: AnyStateMachine, node: AnyStateNode): string | null {
  const where = node.path.length === 0 ? 'state (root)' : `state ${node.path.join('.')}`
  const { actions, guards, actors, delays } = machine.implementations
  const transitions = [
    ...[...node.transitions.values()].flat(),
    ...(node.always ?? []),
    ...(node.initial === undefined ? [] : [node.initial]),
  ]
  for (const action of [...node.entry, ...node.exit, ...transitions.flatMap((one) => one.actions)]) {
    const name = nameOf(action)
    if (name !== null && !(name in actions))
      return `${where} uses action "${name}", which is not in setup({ actions })`
  }
  for (const { guard } of transitions as { guard?: unknown }[]) {
    const name = nameOf(guard)
    if (name !== null && !(name in guards))
      return `${where} uses guard "${name}", which is not in setup({ guards })`
  }
  for (const { delay } of node.after as { delay?: unknown }[]) {
    if (typeof delay === 'string' && Number.isNaN(Number(delay)) && !(delay in delays))
      return `${where} waits for delay "${delay}", which is not in setup({ delays })`
  }
  for (const [index, invoke] of node.invoke.entries()) {
    // XState names the source of an inline one after its state.
    const src = invoke.src as string
    const inline = sourceOf(node, index)
    const problem = inline
      ? problemOfLogic(inline, `the actor that ${where} invokes`)
      : src in actors
        ? null
        : `${where} invokes "${src}", which is not in setup({ actors })`
    if (problem !== null) return problem
  }
  for (const child of Object.values(node.states)) {
    const problem = problemOfNode(machine, child)
    if (problem !== null) return problem
  }
  return null
}

/** An action or guard by name; `null`: it is given inline, or combines others. */
function nameOf(one: unknown): string | null {
  if (typeof one === 'string') return one
  if (typeof one !== 'object' || one === null) return null
  const { type } = one as { type?: unknown }
  return typeof type === 'string' ? type : null
}

function sourceOf(node: AnyStateNode, index: number): AnyActorLogic | null {
  const { invoke } = node.config as { invoke?: unknown }
  const { src } = ((Array.isArray(invoke) ? invoke[index] : invoke) ?? {}) as { src?: unknown }
  return typeof src === 'object' && src !== null ? (src as AnyActorLogic) : null
}
