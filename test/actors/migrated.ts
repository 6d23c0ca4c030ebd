/** Sessions that were begun under one version of a definition and go on under the next, as migration is tested. */
import { fromPromise, setup } from 'xstate'
import type { AnyStateMachine } from 'xstate'
import { defineSession } from '../../actors/define-session.ts'
import type { MigratedSession, SessionConfig, StoredSession } from '../../actors/define-session.ts'
import { VirtualSession } from './virtual-session.ts'

export type Migrate = (stored: StoredSession) => MigratedSession

export const asItIs: Migrate = ({ value, context }) => ({ value, context })

export function version(number: number, machine: AnyStateMachine, migrate?: Migrate): unknown {
  const config: SessionConfig<AnyStateMachine> = { name: 'order', version: number, machine }
  return defineSession(migrate === undefined ? config : { ...config, migrate })
}

/** A session of version 1 after these events, gone on with version 2. */
export function migrated(
  one: AnyStateMachine,
  events: readonly string[],
  two: AnyStateMachine,
  migrate: Migrate = asItIs,
): VirtualSession {
  const session = new VirtualSession(version(1, one))
  for (const type of events) session.send({ type })
  session.migrateTo(version(2, two, migrate))
  return session
}

export const types = { context: {} as Record<string, unknown>, events: {} as { type: string } }

export const pay = fromPromise<string, { cents: number }>(({ input }) =>
  Promise.resolve(`paid ${input.cents}`),
)
export const order = (actors: Record<string, unknown>, states: Record<string, object>, more: object = {}) =>
  setup({ types, actors: actors as never }).createMachine({
    id: 'order',
    context: {},
    initial: Object.keys(states)[0] as never,
    states: states as never,
    ...more,
  } as never) as unknown as AnyStateMachine
export const children = (
  session: VirtualSession,
): Record<string, { snapshot: { value?: unknown; context?: unknown } }> =>
  (JSON.parse(session.record.internals) as { children?: Record<string, never> }).children ?? {}
