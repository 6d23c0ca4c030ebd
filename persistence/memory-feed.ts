/** The feed of a server in memory, as one process hears it. It loses nothing, so it is never interrupted. */
import type { FeedMessage } from '../actors/feed-message.ts'
import type { Feed } from '../actors/ports.ts'
import type { SessionId } from '../actors/session.ts'
import type { MemoryServer } from './memory-server.ts'

export class MemoryFeed implements Feed {
  onMessage: (message: FeedMessage) => void = () => undefined
  onInterrupted: () => void = () => undefined
  readonly #subscribed = new Set<SessionId>()
  readonly #leave: () => void
  #all = false

  constructor(server: MemoryServer) {
    this.#leave = server.listen((message) => {
      const isWanted =
        this.#subscribed.has(message.id) ||
        (this.#all && message.kind !== 'message' && message.kind !== 'presence')
      if (isWanted) this.onMessage(message)
    })
  }

  async subscribe(id: SessionId): Promise<void> {
    this.#subscribed.add(id)
  }

  unsubscribe(id: SessionId): void {
    this.#subscribed.delete(id)
  }

  async subscribeAll(): Promise<void> {
    this.#all = true
  }

  /** Hears no more. */
  stop(): void {
    this.#leave()
  }
}
