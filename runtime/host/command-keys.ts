import { createHash } from 'node:crypto'
import type { CommandKey, Principal } from '../../actors/ports.ts'

/** Digests of 132 bits: short, and nobody finds two that collide. */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}

/** A sender's key for one event, as it is remembered: keys of different principals never meet. */
export function commandKey(principal: Principal | null, key: string, content: unknown): CommandKey {
  return { digest: digest(`${principal?.id ?? ''}\n${key}`), fingerprint: digest(JSON.stringify(content)) }
}

/** The id of a session that is created with a key and no id: the same for the same principal and key. */
export function idFromKey(principal: Principal | null, key: string): string {
  return `k${digest(`create\n${principal?.id ?? ''}\n${key}`)}`
}
