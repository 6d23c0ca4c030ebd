/** What a run of load shall do. */
import { methods } from './requests.ts'
import type { Method } from './requests.ts'

export interface LoadConfig {
  /** `ws://host:port/ws` */
  readonly url: string
  readonly clients: number
  /** At least as many as clients: each client has its own. Fewer: neighbouring clients share one. */
  readonly sessions: number
  /** Prefix of the session ids; another one for each run. */
  readonly run: string
  /** Machine of the sessions. */
  readonly machine: string
  /** Shares of the methods, any non-negative numbers. */
  readonly mix: Readonly<Partial<Record<Method, number>>>
  /** Requests that each client keeps under way (closed loop). */
  readonly depth: number
  /** Requests per second overall; `null`: closed loop. */
  readonly rate: number | null
  /** Whether each client subscribes to its sessions. */
  readonly subscribe: boolean
  readonly warmUpMs: number
  readonly measureMs: number
}

export const defaultConfig: Omit<LoadConfig, 'url' | 'run'> = {
  clients: 64,
  sessions: 1024,
  machine: 'basket',
  mix: { updateSession: 1 },
  depth: 1,
  rate: null,
  subscribe: false,
  warmUpMs: 2_000,
  measureMs: 10_000,
}

/** The sessions of a client: a slice of its own, or one that it shares with its neighbours. */
export function sessionsOf(config: { clients: number; sessions: number }, client: number): number[] {
  const first = Math.floor((client * config.sessions) / config.clients)
  const end = Math.max(first + 1, Math.floor(((client + 1) * config.sessions) / config.clients))
  return Array.from({ length: end - first }, (_, n) => first + n)
}

/** A cycle of method numbers in which each has its share, evenly mixed: the same in every run. */
export function cyclicMix(mix: LoadConfig['mix']): Uint8Array {
  const length = 1009
  const shares = methods.map((method) => mix[method] ?? 0)
  const sum = shares.reduce((a, b) => a + b, 0)
  if (!(sum > 0)) throw new RangeError('the mix is empty: give at least one method a share above 0')
  const debts = shares.map(() => 0)
  return Uint8Array.from({ length }, () => {
    // Whoever is owed most comes next.
    for (const [index, share] of shares.entries()) debts[index] = (debts[index] ?? 0) + share / sum
    const next = debts.indexOf(Math.max(...debts))
    debts[next] = (debts[next] ?? 0) - 1
    return next
  })
}
