/** All rules of docs/protocol.md that a client can see, tried one after another on a server. */
import { Broken } from './broken.ts'
import { Scene } from './case.ts'
import type { Case } from './case.ts'
import { batchCases } from './cases/batches.ts'
import { discoveryCases } from './cases/discovery.ts'
import { framingCases } from './cases/framing.ts'
import { messageCases } from './cases/messages.ts'
import { orderCases } from './cases/order.ts'
import { presenceCases } from './cases/presence.ts'
import { repeatCases } from './cases/repeats.ts'
import { sessionCases } from './cases/sessions.ts'
import { socketCases } from './cases/socket.ts'
import { subscriptionCases } from './cases/subscriptions.ts'
import { waitingCases } from './cases/waiting.ts'
import type { PeerOptions } from './peer.ts'

export const allCases: readonly Case[] = [
  ...framingCases,
  ...batchCases,
  ...sessionCases,
  ...repeatCases,
  ...orderCases,
  ...subscriptionCases,
  ...messageCases,
  ...presenceCases,
  ...waitingCases,
  ...socketCases,
  ...discoveryCases,
]

export interface Verdict {
  readonly name: string
  readonly rule: string
  readonly ms: number
  /** What broke the rule; `null`: it holds. */
  readonly broken: string | null
}

/** Cases in their order; each has connections and sessions of its own. `tell` is called after each. */
export async function runCases(
  url: string,
  cases: readonly Case[],
  tell: (verdict: Verdict) => void = () => undefined,
  options: PeerOptions = {},
): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = []
  for (const { name, rule, run } of cases) {
    const began = performance.now()
    const broken = await tried(new Scene(url, options), run)
    const verdict = { name, rule, ms: Math.round(performance.now() - began), broken }
    verdicts.push(verdict)
    tell(verdict)
  }
  return verdicts
}

async function tried(scene: Scene, run: Case['run']): Promise<string | null> {
  let broken: string | null = null
  try {
    await run(scene)
  } catch (error) {
    // Other errors are of the socket, or of a case that met something that it was not written for: no rule holds then.
    broken = error instanceof Broken ? error.message : `the case could not be tried: ${String(error)}`
  }
  const complaints = scene.peers.flatMap((peer) => peer.complaints)
  await scene.close()
  return broken === null && complaints.length === 0
    ? null
    : [broken, ...complaints].filter(Boolean).join('; ')
}
