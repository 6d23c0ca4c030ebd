/** A machine made again from its configuration, with the logic of its actors, or its states, replaced. */
import { createMachine } from 'xstate'
import type { AnyActorLogic, AnyStateMachine } from 'xstate'
import { MAX_MICROSTEPS } from './stepper.ts'

/** What is looked at of a state's configuration; all else is copied. */
export interface NodeConfig {
  readonly type?: string
  readonly on?: object
  readonly invoke?: unknown
  readonly states?: Readonly<Record<string, NodeConfig>> | undefined
}

export interface Rebuilding {
  /** By name and inline; not that of actors within actors. */
  readonly logicOf?: (logic: AnyActorLogic) => AnyActorLogic
  readonly stateOf?: (state: NodeConfig) => NodeConfig
}

/** The same machine with other actors or states; its actions, guards and delays stay. */
export function rebuildMachine(
  machine: AnyStateMachine,
  { logicOf = same, stateOf = same }: Rebuilding = {},
): AnyStateMachine {
  const { actors } = machine.implementations as { actors: Readonly<Record<string, AnyActorLogic>> }
  return createMachine(
    {
      ...rebuildState(machine.config as NodeConfig, logicOf, stateOf),
      options: { maxIterations: MAX_MICROSTEPS, ...machine.config.options },
    } as never,
    {
      ...machine.implementations,
      actors: Object.fromEntries(Object.entries(actors).map(([name, logic]) => [name, logicOf(logic)])),
    } as never,
  ) as AnyStateMachine
}

function rebuildState(
  config: NodeConfig,
  logicOf: (logic: AnyActorLogic) => AnyActorLogic,
  stateOf: (state: NodeConfig) => NodeConfig,
): NodeConfig {
  const { invoke, states } = config
  const invokeOf = (one: { src?: unknown } | undefined) =>
    typeof one?.src === 'object' ? { ...one, src: logicOf(one.src as AnyActorLogic) } : one
  return stateOf({
    ...config,
    ...(invoke === undefined
      ? {}
      : { invoke: Array.isArray(invoke) ? invoke.map(invokeOf) : invokeOf(invoke as { src?: unknown }) }),
    ...(states === undefined
      ? {}
      : {
          states: Object.fromEntries(
            Object.entries(states).map(([key, state]) => [key, rebuildState(state, logicOf, stateOf)]),
          ),
        }),
  })
}

function same<T>(one: T): T {
  return one
}
