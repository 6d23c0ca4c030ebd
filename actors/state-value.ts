/** What names the states that a machine is in, as users write it. */
import type { AnyStateNode } from 'xstate'

/**
 * Why a machine cannot be in these states, for people; `null`: it can. States that are not named to the leaves are in order.
 * @param path where the value stands, for the sentence
 */
export function problemOfStateValue(node: AnyStateNode, value: unknown, path: string): string | null {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (typeof value !== 'string' && !isObject)
    return `${path} must be the key of a state, or an object of states`
  const inner: [string, unknown][] = isObject ? Object.entries(value) : [[value as string, {}]]
  if (inner.length > 1 && node.type !== 'parallel')
    return `${path} names ${inner.map(([key]) => JSON.stringify(key)).join(' and ')}, of which the machine is in one at a time`
  for (const [key, below] of inner) {
    const state = Object.hasOwn(node.states, key) ? node.states[key] : undefined
    const known = Object.keys(node.states).join(', ')
    if (state === undefined)
      return `${path}: there is no state ${JSON.stringify(key)}; ${known === '' ? 'there are none in it' : `there are: ${known}`}`
    if (state.type === 'history')
      return `${path}: ${JSON.stringify(key)} is a history state, which leads to others`
    const problem = problemOfStateValue(state, below, `${path}.${key}`)
    if (problem !== null) return problem
  }
  return null
}
