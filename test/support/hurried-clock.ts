import type { Clock } from '../../actors/ports.ts'

/** Everything that waits for a time of its own waits a twentieth of it. */
export const hurried: Clock = {
  now: () => performance.now() * 20,
  setTimeout(callback, ms) {
    const timer = setTimeout(callback, ms / 20)
    return { cancel: () => clearTimeout(timer) }
  },
}
