/** What a configuration of states tells clients: its tags, and the events it has transitions for. */
import { getNextTransitions } from 'xstate'
import type { AnyMachineSnapshot, AnyStateNode, AnyTransitionDefinition } from 'xstate'
import { isReservedEvent } from './reserved.ts'

/** Event types that the configuration has transitions for, without asking guards; wildcards as written. */
export function acceptedEvents(snapshot: AnyMachineSnapshot): string[] {
  const types = new Set<string>()
  const transitions = getNextTransitions(snapshot)
  // `on: { EVENT: {} }` does nothing, and keeps the event from the states around: XState's way to forbid it.
  const forbidding = transitions.filter((one) => isInert(one) && one.guard === undefined)
  for (const transition of transitions) {
    const type = transition.eventType as string
    const { source } = transition
    if (type === '' || isInert(transition) || (type !== '*' && isReservedEvent(type))) continue
    if (!forbidding.some(({ eventType, source: node }) => eventType === type && isInside(node, source)))
      types.add(type)
  }
  return [...types]
}

function isInert({ target, actions, reenter }: AnyTransitionDefinition): boolean {
  return target === undefined && actions.length === 0 && !reenter
}

function isInside(node: AnyStateNode, around: AnyStateNode): boolean {
  for (let at = node.parent; at !== undefined; at = at.parent) if (at === around) return true
  return false
}
