/** A session's newest position, and the commit that made it. */
export interface Newest {
  readonly sessionId: string
  readonly epoch: string
  readonly version: number
  readonly commitId: string
}
