/** What `migrate` gets of a session's actors, and what it returns. */
import type { MigratedSession, StoredActor } from './define-session.ts'
import { mapValues } from './migration-fit.ts'
import type { PersistedActors } from './migration-fit.ts'
import { findUnstorable } from './storable.ts'

/** The actors of a session as `migrate` gets them. */
export function storedActors(children: PersistedActors): Record<string, StoredActor> {
  return mapValues(children, ({ src, snapshot: { value, context, children: own } }): StoredActor => ({
    src: String(src),
    ...(value === undefined ? {} : { value }),
    ...(context === undefined ? {} : { context }),
    children: storedActors(own ?? {}),
  }))
}

/** @throws Error if it is not what `migrate` may return */
export function checkResult(result: unknown): MigratedSession {
  const isObject = (one: unknown): boolean => typeof one === 'object' && one !== null && !Array.isArray(one)
  const {
    value,
    context,
    children = {},
    starts = [],
    ...others
  } = (isObject(result) ? result : {}) as Partial<Record<keyof MigratedSession, unknown>>
  const [other] = Object.keys(others)
  const problems = [
    [isObject(result) && !(result instanceof Promise), 'it must return { value, context }, and at once'],
    [typeof value === 'string' || isObject(value), 'value must be a state: a string or an object'],
    [isObject(context), 'context must be an object'],
    [isObject(children), 'children must be an object'],
    [
      Array.isArray(starts) && starts.every((one) => typeof one === 'string'),
      'starts must be a list of paths of states',
    ],
    [other === undefined, `${other} is not known; there are: value, context, children, starts`],
  ] as const
  const problem = problems.find(([isGood]) => !isGood)
  if (problem !== undefined) throw new Error(`migrate: ${problem[1]}`)
  const unstorable = findUnstorable(context)
  if (unstorable !== null) throw new Error(`the context cannot be stored as JSON at ${unstorable}`)
  // A copy: it may be frozen, or shared with others.
  return structuredClone(result) as MigratedSession
}

/** Those that `migrate` returned, with the state that it gives them; the others stop. */
export function withReplaced(
  stored: PersistedActors,
  returned: NonNullable<MigratedSession['children']>,
): PersistedActors {
  return mapValues(returned, ({ value, context, children }, id) => {
    const actor = stored[id]
    if (actor === undefined)
      throw new Error(
        `migrate returned a child "${id}" that the session does not have: what a state invokes is started by itself`,
      )
    const { snapshot } = actor
    return {
      ...actor,
      snapshot: {
        ...snapshot,
        ...(value === undefined ? {} : { value }),
        ...(context === undefined ? {} : { context }),
        ...(children === undefined ? {} : { children: withReplaced(snapshot.children ?? {}, children) }),
      },
    }
  })
}
