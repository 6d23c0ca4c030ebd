/** Event types that only the machine itself or the runtime sends. */
export function isReservedEvent(type: string): boolean {
  return (
    type === '*' || type.startsWith('xstate.') || type.startsWith('@xstate.') || type.startsWith('troupe.')
  )
}
