import type { StandardSchemaV1 } from '@standard-schema/spec'
import { TroupeError } from './errors.ts'

/**
 * Checks a value with any Standard Schema library.
 * @returns what the schema makes of it
 * @throws TroupeError `event_invalid`, naming the path of each issue
 */
export function validate<T>(
  schema: StandardSchemaV1<unknown, T>,
  value: unknown,
  what: 'event' | 'input',
): T {
  const result = schema['~standard'].validate(value)
  if (result instanceof Promise) {
    // Nobody waits for it: its failure is not to end the process.
    result.catch(() => undefined)
    throw new TroupeError(
      'internal',
      `the ${what} schema is asynchronous; sessions need one that answers at once`,
    )
  }
  if (result.issues === undefined) return result.value
  const issues = result.issues.map((issue) => ({
    path: (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)),
    message: issue.message,
  }))
  const sentence = issues.map(({ path, message }) => `${[what, ...path].join('.')}: ${message}`).join('; ')
  throw new TroupeError('event_invalid', sentence, { details: { issues } })
}
