import type { ProcessName } from './live-process.ts'

/** A server process of ours on this machine's loopback interface. */
export interface EmbeddedServer {
  readonly url: string
  readonly process: ProcessName
  /** It was found running, left over from a start that was killed. */
  readonly adopted: boolean
  /** Stops it in order, with its data saved. Does nothing if it has ended already. */
  stop(): Promise<void>
}
