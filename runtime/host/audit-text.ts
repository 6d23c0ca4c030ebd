/** The audit's part of an outbox entry: who did what from where, and what it led to, without what the definition keeps out of it. */
import type { SessionDefinition } from '../../actors/define-session.ts'
import type { Plan } from '../../actors/plan.ts'
import type { CommittedTransition, Principal } from '../../actors/ports.ts'
import { redactEvent, redactInput, redactState } from '../../actors/redaction.ts'
import type { Redacted, RuleFailed } from '../../actors/redaction.ts'

interface Done {
  readonly node: string
  readonly principal: Principal | null
  readonly key?: string | undefined
}

interface Audited extends Done {
  /** That the session is of after the transition. */
  readonly definition: Pick<SessionDefinition, 'name' | 'version' | 'audit'>
  /** Called where a function of its `audit` fails. */
  readonly warn: (details: object, message: string) => void
}

type AuditTexts = Pick<CommittedTransition, 'audit' | 'state' | 'auditedState'>

/** An event of a client. @param event its JSON text */
export function auditOfEvent(about: Audited, event: string, plan: Plan): AuditTexts {
  return auditTexts(about, eventOf(about, event), `,"from":${plan.from}`, plan)
}

/** No client sent it: a timer, a promise, a takeover or another session did. `failed`: what the machine threw at its event. */
export function auditOfInternal(
  about: Audited,
  event: string,
  plan: Plan,
  { sender, failed }: { readonly sender?: string | undefined; readonly failed?: string | undefined },
): AuditTexts {
  const session = sender === undefined ? '' : `,"sender":${JSON.stringify(sender)}`
  const problem = failed === undefined ? '' : `,"failed":${JSON.stringify(failed)}`
  return auditTexts(about, eventOf(about, event), `,"from":${plan.from}${session}${problem}`, plan)
}

/** A new session, with its input. */
export function auditOfCreation(about: Audited, input: unknown, plan: Plan): AuditTexts {
  const text = input === undefined ? '' : JSON.stringify(input)
  const { audit } = about.definition
  const { text: kept, parts } = audit === undefined ? whole(text) : redactInput(audit, text, failure(about))
  return auditTexts(about, { text: kept === '' ? '' : `,"input":${kept}`, parts }, '', plan)
}

/** Without the machine: the store adds what it finds. */
export function auditOfDeletion(done: Done): string {
  return `{${who(done)}}`
}

function eventOf(about: Audited, event: string): Redacted {
  const { audit } = about.definition
  const { text, parts } = audit === undefined ? whole(event) : redactEvent(audit, event, failure(about))
  return { text: `,"event":${text}`, parts }
}

function whole(text: string): Redacted {
  return { text, parts: [] }
}

function auditTexts(about: Audited, { text, parts }: Redacted, more: string, { state }: Plan): AuditTexts {
  const { name, version, audit } = about.definition
  const kept = audit === undefined ? whole(state) : redactState(audit, state, failure(about))
  const redacted = [...parts, ...kept.parts]
  const mark = redacted.length === 0 ? '' : `,"redacted":${JSON.stringify(redacted)}`
  return {
    audit: `{"machine":"${name}","machineVersion":${version},${who(about)}${text}${more}${mark}}`,
    state,
    ...(kept.text === state ? {} : { auditedState: kept.text }),
  }
}

function failure({ warn, definition: { name, version } }: Audited): RuleFailed {
  return (part, reason) =>
    warn(
      { machine: name, version, part, reason },
      `a function of \`audit\` failed, so the audit gets nothing of that part`,
    )
}

function who({ node, principal, key }: Done): string {
  const name = principal === null ? '' : `,"principal":${JSON.stringify(principal.id)}`
  const command = key === undefined ? '' : `,"key":${JSON.stringify(key)}`
  return `"node":"${node}"${name}${command}`
}
