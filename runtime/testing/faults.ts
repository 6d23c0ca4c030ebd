/** What a test wants to go wrong, armed for one session, each once. */
import type { SessionId } from '../../actors/session.ts'

export type FaultKind =
  'crashBeforeCommit' | 'crashAfterCommit' | 'crashBeforeResult' | 'loseReply' | 'duplicateEvent'

export interface PendingFault {
  readonly kind: FaultKind
  readonly session: string
}

export interface FaultsOptions {
  /** @throws TroupeError `invalid_params` */
  readonly asId: (session: string) => SessionId
  readonly crash: () => void
}

/**
 * Fault points. Each is armed by a call and fires once; those that have not fired are in {@link Faults.pending}, and `close()` of the
 * kit complains about them, because such a test has not tested what it says.
 */
export class Faults {
  readonly #options: FaultsOptions
  #pending: readonly PendingFault[] = []

  constructor(options: FaultsOptions) {
    this.#options = options
  }

  /** Faults that were armed and have not fired yet, oldest first. */
  get pending(): readonly PendingFault[] {
    return this.#pending
  }

  /** The process that is about to make the next commit of this session dies first: nothing of it was written. */
  crashBeforeCommit(session: string): void {
    this.#arm('crashBeforeCommit', session)
  }

  /**
   * The process that makes the next commit of this session dies after it, before it acts on it or answers: its actions do not
   * run, its promise actors do not start, mail and timers are left to other processes.
   */
  crashAfterCommit(session: string): void {
    this.#arm('crashAfterCommit', session)
  }

  /**
   * A promise actor of this session comes to its end, and the process that ran it dies before it could commit the result: another
   * process runs it again once the lease is over (15 s), with the same effect key, or fails it, as its policy says.
   */
  crashBeforeResult(session: string): void {
    this.#arm('crashBeforeResult', session)
  }

  /** The next commit of this session is made, and its reply does not arrive: the process asks again what became of it. */
  loseReply(session: string): void {
    this.#arm('loseReply', session)
  }

  /**
   * The next event that the test sends to this session arrives twice, at two processes if there are, with the same command key: that
   * of the call, or one of its own.
   */
  duplicateEvent(session: string): void {
    this.#arm('duplicateEvent', session)
  }

  /** The process that would serve the next call dies now. @throws Error if none is left */
  crash(): void {
    this.#options.crash()
  }

  /** Whether this fault is armed for the session; if so it has fired now. */
  take(kind: FaultKind, session: string): boolean {
    const found = this.#pending.find((fault) => fault.kind === kind && fault.session === session)
    this.#pending = this.#pending.filter((fault) => fault !== found)
    return found !== undefined
  }

  #arm(kind: FaultKind, session: string): void {
    this.#pending = [...this.#pending, { kind, session: this.#options.asId(session) }]
  }
}

/** Fault points as a test sees them. */
export type FaultPoints = Omit<Faults, 'take'>
