/**
 * The instants of the pipeline at which a process may die, by name. Tests kill there; in service no hook is given
 * and nothing is called.
 */

/** Those of one pass (drain.ts), in a thread of the audit process. */
export const faultPoints = [
  'before-read',
  'after-read',
  'before-insert',
  /**
   * The insert is one statement that commits by itself, so there is no instant before or after a COMMIT of ours. In its place: the
   * statement is on its way, and its answer is not read. It may be committed by then or not.
   */
  'insert-sent',
  'after-insert',
  'before-reject',
  'after-reject',
  'before-delete',
  'after-delete',
] as const

/** Those of the wake-up: in the process that committed (queue.ts), and on the main thread of the audit process (engine.ts). */
export const wakeupPoints = [
  'before-announce',
  'after-announce',
  'before-complete',
  'after-complete',
] as const

export type FaultPoint = (typeof faultPoints)[number] | (typeof wakeupPoints)[number]

/** Called at each point; what it throws fails the batch there. */
export type FaultHook = (point: FaultPoint) => void | Promise<void>

/** @param url of a module that exports `faultPoint`, for processes and threads that tests start */
export async function loadFaultHook(url: string | undefined): Promise<FaultHook | undefined> {
  if (url === undefined) return undefined
  return ((await import(url)) as { readonly faultPoint: FaultHook }).faultPoint
}
