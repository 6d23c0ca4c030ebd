import { messageOf } from '../../actors/errors.ts'
import type { Logger } from '../../actors/ports.ts'
import { Registry } from '../../actors/registry.ts'

/** A registry of these. @throws Error that says which definition is wrong, and how */
export function registerAll(definitions: readonly unknown[], log: Logger): Registry {
  if (!Array.isArray(definitions) || definitions.length === 0)
    throw new Error('definitions: must be an array of definitions, of at least one')
  const registry = new Registry((details, message) => log.info(details, message))
  definitions.forEach((definition, index) => {
    try {
      registry.register(definition)
    } catch (error) {
      throw new Error(`definitions[${index}]: ${messageOf(error)}`, { cause: error })
    }
  })
  return registry
}
