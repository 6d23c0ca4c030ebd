import { expect } from 'vitest'
import { TroupeError } from '../../actors/errors.ts'

/** The TroupeError that it throws. */
export function faultOf(act: () => unknown): TroupeError {
  try {
    act()
  } catch (error) {
    if (error instanceof TroupeError) return error
  }
  return expect.unreachable('no TroupeError')
}
