import type { Logger } from '../../actors/ports.ts'

/** A warning that is written at most once in `everyMs`, with the number of those that were held back. */
export function rateLimited(log: Logger, everyMs: number): (details: object, message: string) => void {
  let next = 0
  let held = 0
  return (details, message) => {
    const now = performance.now()
    if (now < next) {
      held += 1
      return
    }
    log.warn(held === 0 ? details : { ...details, alike: held }, message)
    next = now + everyMs
    held = 0
  }
}
