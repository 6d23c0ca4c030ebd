/** References to actors in a context: XState stores them by the id of a child, and restores whatever looks like that. */
import type { AnyActorRef, AnyMachineSnapshot } from 'xstate'
import type { ActorPath } from './plan.ts'

type Children = Readonly<Record<string, AnyActorRef | undefined>>

/** By which XState tells a stored reference from other objects. */
const KEY = 'xstate$$type'

/** @throws Error if a context refers to an actor that would not be found by it once the session is restored */
export function checkReferences({ context, children }: AnyMachineSnapshot, path: ActorPath): void {
  const own = children as Children
  const whose = path.length === 0 ? 'the context' : `the context of actor "${path.join('.')}"`
  const lookalike = findLookalike(context)
  if (lookalike !== null)
    throw new Error(
      `${whose} holds at ${lookalike} data with a member "${KEY}", which would become a reference to an actor when the session goes on elsewhere`,
    )
  const found = findReference(context, (ref) => own[ref.id] !== ref)
  if (found !== null) {
    throw new Error(
      `${whose} holds at ${found.at} a reference to actor "${found.ref.id}", which is none of its own children: it would be lost ` +
        'when the session goes on elsewhere. Clear it when you stop the actor; for other actors keep a systemId',
    )
  }
  for (const [id, child] of Object.entries(own)) {
    const snapshot = child?.getSnapshot() as Partial<AnyMachineSnapshot> | undefined
    if (snapshot?.machine !== undefined) checkReferences(snapshot as AnyMachineSnapshot, [...path, id])
  }
}

/** The first reference to an actor within the value that is wanted, and where it is. */
function findReference(
  value: unknown,
  isWanted: (ref: AnyActorRef) => boolean,
  path = '',
): { readonly at: string; readonly ref: AnyActorRef } | null {
  if (typeof value !== 'object' || value === null) return null
  if (isActorRef(value)) return isWanted(value) ? { at: path, ref: value } : null
  for (const [key, member] of Object.entries(value)) {
    const found = findReference(member, isWanted, memberPath(value, path, key))
    if (found !== null) return found
  }
  return null
}

/** As XState tells them from other objects when it persists a context. */
function isActorRef(value: object): value is AnyActorRef {
  return 'sessionId' in value && 'send' in value && 'ref' in value
}

/** Where data lies that would be restored as a reference; `null`: nowhere. */
function findLookalike(value: unknown, path = ''): string | null {
  if (typeof value !== 'object' || value === null || isActorRef(value)) return null
  if (Object.hasOwn(value, KEY)) return path
  for (const [key, member] of Object.entries(value)) {
    const found = findLookalike(member, memberPath(value, path, key))
    if (found !== null) return found
  }
  return null
}

function memberPath(of: object, path: string, key: string): string {
  return Array.isArray(of) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
}
