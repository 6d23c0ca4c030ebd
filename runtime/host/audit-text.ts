/** The audit's part of an outbox entry: who did what from where. The state it led to stands beside it. */
import type { Plan } from '../../actors/plan.ts'
import type { Principal } from '../../actors/ports.ts'

interface Audited {
  readonly machine: string
  readonly machineVersion: number
  readonly node: string
  readonly principal: Principal | null
  readonly key?: string | undefined
}

export function auditOfEvent(about: Audited, event: string, plan: Plan): string {
  return `${head(about)},"event":${event},"from":${plan.from}}`
}

export function auditOfCreation(about: Audited, input: unknown): string {
  return `${head(about)}${input === undefined ? '' : `,"input":${JSON.stringify(input)}`}}`
}

export function auditOfDeletion(about: Audited): string {
  return `${head(about)}}`
}

function head({ machine, machineVersion, node, principal, key }: Audited): string {
  const who = principal === null ? '' : `,"principal":${JSON.stringify(principal.id)}`
  const command = key === undefined ? '' : `,"key":${JSON.stringify(key)}`
  return `{"machine":"${machine}","machineVersion":${machineVersion},"node":"${node}"${who}${command}`
}
