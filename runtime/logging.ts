import { pino } from 'pino'
import type { Logger } from '../actors/ports.ts'

/** JSON lines on standard error, so that standard output stays for what a user asked for. */
export function createLogger(level: string, process: string): Logger {
  return pino({ level, base: { process } }, pino.destination({ dest: 2, sync: true }))
}
