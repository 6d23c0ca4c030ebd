/** Where the servers of this test run are. All tests share them: give each its own key prefix or schema. */
import { inject } from 'vitest'

declare module 'vitest' {
  export interface ProvidedContext {
    redisUrl: string
    databaseUrl: string
  }
}

/** A Redis with nothing in it at the start of the run, and nothing on disk. */
export function redisUrl(): string {
  return inject('redisUrl')
}

/** A PostgreSQL database with nothing in it at the start of the run; its user may create further databases. */
export function databaseUrl(): string {
  return inject('databaseUrl')
}
