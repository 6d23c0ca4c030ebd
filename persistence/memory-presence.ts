/** Who is subscribed to sessions of a server in memory: the same as `lua/tell-presence.lua`. */
import type { PresenceChange } from '../actors/feed-message.ts'
import { PRESENCE_LEASE_MS } from '../actors/presence.ts'
import type { PresenceAnswer, PresenceEntry } from '../actors/presence.ts'
import type { SessionId } from '../actors/session.ts'
import { PRESENCE_GRACE_MS } from './store-times.ts'

interface Attending {
  /** JSON texts, by client. */
  readonly members: Map<string, string>
  untilMs: number
  /** From then on it may find that others are over. */
  judgesFromMs: number
}

interface MemberList {
  number: number
  readonly byNode: Map<string, Attending>
}

export class MemoryPresence {
  readonly #now: () => number
  readonly #publish: (change: PresenceChange) => void
  /** Time may stand still while a list goes and comes. */
  #last = 0
  readonly #lists = new Map<SessionId, MemberList>()

  constructor(now: () => number, publish: (change: PresenceChange) => void) {
    this.#now = now
    this.#publish = publish
  }

  tell(node: string, entries: readonly PresenceEntry[]): PresenceAnswer[] {
    return entries.map((entry) => this.#tell(node, entry))
  }

  #tell(node: string, { id, joined, left, isWhole, count, wantsRoster }: PresenceEntry): PresenceAnswer {
    const nowMs = this.#now()
    const list = this.#lists.get(id) ?? { number: 0, byNode: new Map<string, Attending>() }
    const own: Attending = list.byNode.get(node) ?? { members: new Map(), untilMs: nowMs, judgesFromMs: 0 }
    if (own.untilMs < nowMs) own.judgesFromMs = nowMs + PRESENCE_GRACE_MS
    const came: string[] = []
    const gone = left.filter((client) => own.members.delete(client))
    for (const [client, text] of joined) {
      if (own.members.has(client)) continue
      own.members.set(client, text)
      came.push(text)
    }
    if (isWhole)
      for (const client of [...own.members.keys()])
        if (!joined.has(client) && own.members.delete(client)) gone.push(client)
    if (own.judgesFromMs <= nowMs)
      for (const [other, { untilMs, members }] of list.byNode) {
        if (other === node || untilMs >= nowMs) continue
        gone.push(...members.keys())
        list.byNode.delete(other)
      }
    if (came.length > 0 || gone.length > 0) {
      list.number = this.#last = list.number > 0 ? list.number + 1 : Math.max(this.#last + 1, nowMs * 1000)
      const texts = { joined: `[${came.join(',')}]`, left: JSON.stringify(gone) }
      this.#publish({ kind: 'presence', id, number: list.number, ...texts })
    }
    own.untilMs = nowMs + PRESENCE_LEASE_MS
    if (own.members.size > 0) list.byNode.set(node, own)
    else list.byNode.delete(node)
    if (list.byNode.size > 0) this.#lists.set(id, list)
    else this.#lists.delete(id)
    return {
      number: list.number,
      isComplete: own.members.size === count,
      roster: wantsRoster ? [...list.byNode.values()].flatMap(({ members }) => [...members.values()]) : [],
    }
  }
}
