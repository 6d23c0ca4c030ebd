/** What a definition lets others see of a member. */
import type { SessionDefinition } from './define-session.ts'
import { messageOf } from './errors.ts'
import type { Principal } from './ports.ts'
import type { PresenceMember } from './presence.ts'
import { findUnstorable } from './storable.ts'

/** What it says of a member has at most so many bytes, as JSON. */
const MAX_INFO_BYTES = 1024

/** Whether its sessions have presence. */
export function hasPresence({ presence }: SessionDefinition): boolean {
  return presence !== undefined && presence !== false
}

/**
 * A member as JSON text. Where the definition's function throws, or returns what is no JSON or too large, the member is without info.
 * @param failed called with the reason
 */
export function memberText(
  presence: SessionDefinition['presence'],
  client: string,
  principal: Principal | null,
  failed: (reason: string) => void,
): string {
  const text = JSON.stringify({ client, principal: principal?.id ?? null } satisfies PresenceMember)
  if (typeof presence !== 'function') return text
  try {
    const info = presence(principal)
    if (info === undefined) return text
    if (info instanceof Promise) info.catch(() => undefined)
    const unstorable = findUnstorable(info, 'info')
    if (unstorable !== null) throw new Error(`it cannot be written as JSON: ${unstorable}`)
    const infoText = JSON.stringify(info)
    const bytes = Buffer.byteLength(infoText)
    if (bytes > MAX_INFO_BYTES) throw new Error(`it has ${bytes} bytes, and may have ${MAX_INFO_BYTES}`)
    return `${text.slice(0, -1)},"info":${infoText}}`
  } catch (error) {
    failed(messageOf(error))
    return text
  }
}
