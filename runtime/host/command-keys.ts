import { createHash } from 'node:crypto'
import { TroupeError } from '../../actors/errors.ts'
import { hasUnstorableCharacter } from '../../actors/storable.ts'
import type { CommandKey, Principal } from '../../actors/ports.ts'

/** Digests of 132 bits: short, and nobody finds two that collide. */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}

/**
 * A sender's key for one event, as it is remembered: keys of different principals never meet. `content`: its JSON text.
 * @throws TroupeError `invalid_params` if the key holds what cannot be stored
 */
export function commandKey(principal: Principal | null, key: string, content: string): CommandKey {
  if (hasUnstorableCharacter(JSON.stringify(key)))
    throw new TroupeError('invalid_params', 'key: holds a NUL or half of a surrogate pair')
  return { digest: digest(`${principal?.id ?? ''}\n${key}`), fingerprint: digest(content) }
}

/** The id of a session that is created with a key and no id: the same for the same principal and key. */
export function idFromKey(principal: Principal | null, key: string): string {
  return `k${digest(`create\n${principal?.id ?? ''}\n${key}`)}`
}
