import type { StandardSchemaV1 } from '@standard-schema/spec'
import { TroupeError, messageOf } from './errors.ts'

/** Levels at which a schema that failed is taken to have run out of stack. */
const DEEPEST = 500

/**
 * Checks a value with any Standard Schema library.
 * @returns what the schema makes of it
 * @throws TroupeError `event_invalid`, naming the path of each issue
 */
export function validate<T>(
  schema: StandardSchemaV1<unknown, T>,
  value: unknown,
  what: 'event' | 'input' | 'context' | 'output' | 'emitted event',
): T {
  const result = ask(schema, value, what)
  if (result instanceof Promise) {
    // Nobody waits for it: its failure is not to end the process.
    result.catch(() => undefined)
    // zod tries once more in the asynchronous way when its first try failed, for want of stack too.
    if (isDeeperThan(value, DEEPEST)) throw tooDeep(what)
    throw new TroupeError(
      'internal',
      `the ${what} schema did not answer at once: it failed, or is asynchronous, which sessions cannot wait for`,
    )
  }
  if (result.issues === undefined) return result.value
  const issues = result.issues.map((issue) => ({
    // Not by its own `map`: ArkType's paths are arrays of a class of their own, and an empty one would become ['0'].
    path: Array.from(issue.path ?? [], (part) => String(typeof part === 'object' ? part.key : part)),
    message: issue.message,
  }))
  const sentence = issues.map(({ path, message }) => `${[what, ...path].join('.')}: ${message}`).join('; ')
  throw new TroupeError('event_invalid', sentence, { details: { issues } })
}

function ask<T>(schema: StandardSchemaV1<unknown, T>, value: unknown, what: string) {
  try {
    return schema['~standard'].validate(value)
  } catch (cause) {
    if (cause instanceof RangeError && isDeeperThan(value, DEEPEST)) throw tooDeep(what)
    throw new TroupeError('internal', `the ${what} schema failed: ${messageOf(cause)}`, { cause })
  }
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((member) => isDeeperThan(member, levels - 1))
}

function tooDeep(what: string): TroupeError {
  return new TroupeError('event_invalid', `${what}: is nested too deeply`)
}
