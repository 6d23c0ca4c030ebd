/**
 * What a definition keeps out of the audit. It is taken out on the way to the outbox, of the JSON texts that would be written: so the
 * functions of a definition get copies, and what is kept out goes to the session's record, its feed and its mail alone.
 *
 * A function that fails stops no session, and lets nothing through: the audit gets nothing of that part.
 */
import type { AuditPolicy, AuditRule } from './define-session.ts'
import { messageOf } from './errors.ts'
import { findUnstorable, hasUnstorableCharacter } from './storable.ts'

/** As in the rows of the audit. */
const parts = ['event', 'input', 'context', 'output'] as const
type AuditedPart = (typeof parts)[number]

/** What the audit gets. */
export interface Redacted {
  /** JSON text; '': nothing. */
  readonly text: string
  /** Of which parts it is not all that there is. */
  readonly parts: readonly AuditedPart[]
}

/** Called with what a function of the definition has thrown. */
export type RuleFailed = (part: AuditedPart, reason: string) => void

/** @returns what is wrong with it, or `null` */
export function problemOfAuditPolicy(policy: unknown): string | null {
  if (policy === undefined) return null
  const names = parts.join(', ')
  if (typeof policy !== 'object' || policy === null || Array.isArray(policy))
    return `audit must be an object with any of ${names}`
  for (const [part, rule] of Object.entries(policy)) {
    if (!(parts as readonly string[]).includes(part))
      return `audit.${part} is no part of a transition; there are: ${names}`
    if (rule !== undefined && rule !== 'full' && rule !== 'none' && typeof rule !== 'function')
      return `audit.${part} must be "full", "none" or a function`
  }
  return null
}

/** @param text JSON text of an event, of which the type is kept */
export function redactEvent(policy: AuditPolicy, text: string, failed: RuleFailed): Redacted {
  if (isFull(policy.event)) return { text, parts: [] }
  const event = JSON.parse(text) as { readonly type: string }
  const type = JSON.stringify(event.type)
  const made = apply('event', policy.event, event, failed)
  const isObject = made.startsWith('{')
  if (made !== '' && !isObject) failed('event', 'it must return an object')
  const others = (isObject ? JSON.parse(made) : {}) as { type?: unknown }
  delete others.type
  const members = JSON.stringify(others).slice(1)
  const redacted = `{"type":${type}${members === '}' ? '' : ','}${members}`
  const isAll = made === text || redacted === text
  return { text: isAll ? text : redacted, parts: isAll ? [] : ['event'] }
}

/** @param text JSON text of the input of a session; '': it has none */
export function redactInput(policy: AuditPolicy, text: string, failed: RuleFailed): Redacted {
  if (isFull(policy.input) || text === '') return { text, parts: [] }
  const made = apply('input', policy.input, JSON.parse(text), failed)
  return { text: made, parts: made === text ? [] : ['input'] }
}

/** @param text JSON text of a public state */
export function redactState(policy: AuditPolicy, text: string, failed: RuleFailed): Redacted {
  if (isFull(policy.context) && isFull(policy.output)) return { text, parts: [] }
  const state = JSON.parse(text) as Record<string, unknown>
  const redacted: AuditedPart[] = []
  for (const part of ['context', 'output'] as const) {
    if (isFull(policy[part]) || !(part in state)) continue
    const before = JSON.stringify(state[part])
    const made = apply(part, policy[part], state[part], failed)
    if (made !== before) redacted.push(part)
    state[part] = made === '' ? undefined : JSON.parse(made)
  }
  return { text: redacted.length === 0 ? text : JSON.stringify(state), parts: redacted }
}

function isFull<T>(rule: AuditRule<T> | undefined): rule is 'full' | undefined {
  return rule === undefined || rule === 'full'
}

/** @returns JSON text of what the rule makes of a copy; '': nothing */
function apply<T>(
  part: AuditedPart,
  rule: Exclude<AuditRule<T>, 'full'> | undefined,
  value: T,
  failed: RuleFailed,
): string {
  if (rule === 'none' || rule === undefined) return ''
  try {
    const made = rule(value)
    if (made instanceof Promise) made.catch(() => undefined)
    if (made === undefined) return ''
    const unstorable = findUnstorable(made)
    if (unstorable !== null) throw new Error(`what it returns cannot be written as JSON at ${unstorable}`)
    const text = JSON.stringify(made)
    if (hasUnstorableCharacter(text))
      throw new Error('what it returns holds a NUL or half of a surrogate pair')
    return text
  } catch (error) {
    failed(part, messageOf(error))
    return ''
  }
}
