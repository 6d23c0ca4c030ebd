/**
 * The instants of the pipeline at which a process may die, by name. Tests kill there; in service no hook is given
 * and nothing is called.
 */
export const faultPoints = [
  'before-read',
  'after-read',
  'before-insert',
  'after-insert',
  'before-reject',
  'after-reject',
  'before-delete',
  'after-delete',
] as const

export type FaultPoint = (typeof faultPoints)[number]

/** Called at each point; what it throws fails the batch there. */
export type FaultHook = (point: FaultPoint) => void | Promise<void>
