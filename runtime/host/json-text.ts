/** What callers send, as the JSON text that is stored, audited and published. */
import { TroupeError, messageOf } from '../../actors/errors.ts'
import { hasUnstorableCharacter } from '../../actors/storable.ts'

/** @throws TroupeError `event_invalid` for what JSON cannot hold */
export function textOf(value: unknown, what: string): string {
  try {
    const text = JSON.stringify(value) as string | undefined
    if (text !== undefined) {
      if (!hasUnstorableCharacter(text)) return text
      throw new TroupeError('event_invalid', `the ${what} holds a NUL or half of a surrogate pair`)
    }
  } catch (cause) {
    if (cause instanceof TroupeError) throw cause
    const why = cause instanceof RangeError ? 'it is nested too deeply' : messageOf(cause)
    throw new TroupeError('event_invalid', `the ${what} cannot be written as JSON: ${why}`, { cause })
  }
  throw new TroupeError('event_invalid', `the ${what} cannot be written as JSON: it is a ${typeof value}`)
}
