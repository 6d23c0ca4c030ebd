/**
 * `document`: stored state without a lifecycle. `SET` replaces it, `MERGE` patches it as RFC 7396 says: members are
 * merged deeply, `null` removes a member, arrays and everything else are replaced.
 */
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { defineSession } from '../define-session.ts'
import { findUnstorable } from '../storable.ts'

type Json = z.core.util.JSONType

/** Any JSON, taken as it is: zod's own `json()` makes a copy, in which members named __proto__ are missing. */
const state = z.custom<Json>().superRefine((value, context) => {
  const unstorable = findUnstorable(value)
  if (unstorable !== null)
    context.addIssue({ code: 'custom', message: `must be JSON, and is not at ${unstorable}` })
})
const events = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('SET'), state }),
  z.strictObject({ type: z.literal('MERGE'), state }),
])

const machine = setup({
  types: {} as { context: { state: Json }; input: Json | undefined; events: z.infer<typeof events> },
}).createMachine({
  id: 'document',
  context: ({ input }) => ({ state: input ?? {} }),
  on: {
    SET: { actions: assign({ state: ({ event }) => event.state }) },
    MERGE: { actions: assign({ state: ({ context, event }) => mergePatch(context.state, event.state) }) },
  },
})

/** RFC 7396, section 2. */
function mergePatch(target: Json, patch: Json): Json {
  if (!isObject(patch)) return patch
  // Entries, so that a member named __proto__ stays a member.
  const merged = new Map(Object.entries(isObject(target) ? target : {}))
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key)
    else merged.set(key, mergePatch(merged.get(key) ?? {}, value))
  }
  return Object.fromEntries(merged)
}

function isObject(value: Json): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Stored state; the input of `createSession` is the first state, `{}` without. */
export const documentSession = defineSession({
  name: 'document',
  version: 1,
  machine,
  events,
  input: state.optional(),
})
