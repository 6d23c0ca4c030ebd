/** The audit's part of an outbox entry: who did what from where. The state it led to stands beside it. */
import type { Plan } from '../../actors/plan.ts'
import type { Principal } from '../../actors/ports.ts'

interface Done {
  readonly node: string
  readonly principal: Principal | null
  readonly key?: string | undefined
}

interface Audited extends Done {
  readonly machine: string
  readonly machineVersion: number
}

/** An event of a client. */
export function auditOfEvent(about: Audited, event: string, plan: Plan): string {
  return `${head(about)},"event":${event},"from":${plan.from}}`
}

/** No client sent it: a timer, a promise, a takeover or another session did. `failed`: what the machine threw at its event. */
export function auditOfInternal(
  about: Audited,
  event: string,
  from: string | null,
  { sender, failed }: { readonly sender?: string | undefined; readonly failed?: string | undefined },
): string {
  const session = sender === undefined ? '' : `,"sender":${JSON.stringify(sender)}`
  const problem = failed === undefined ? '' : `,"failed":${JSON.stringify(failed)}`
  return `${head(about)},"event":${event},"from":${from}${session}${problem}}`
}

/** A new session, with its input. */
export function auditOfCreation(about: Audited, input: unknown): string {
  return `${head(about)}${input === undefined ? '' : `,"input":${JSON.stringify(input)}`}}`
}

/** Without the machine: the store adds what it finds. */
export function auditOfDeletion(done: Done): string {
  return `{${who(done)}}`
}

function head({ machine, machineVersion, ...done }: Audited): string {
  return `{"machine":"${machine}","machineVersion":${machineVersion},${who(done)}`
}

function who({ node, principal, key }: Done): string {
  const name = principal === null ? '' : `,"principal":${JSON.stringify(principal.id)}`
  const command = key === undefined ? '' : `,"key":${JSON.stringify(key)}`
  return `"node":"${node}"${name}${command}`
}
