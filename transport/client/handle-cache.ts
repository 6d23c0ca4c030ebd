/**
 * The handles that somebody holds, by session, so that two components that ask for the same session get the same one. One that
 * nobody holds any more is forgotten; one that is listened to is held by its listeners' subscription.
 */
import type { SessionHandle } from './session-handle.ts'
import type { Subscription } from './subscription.ts'

interface Held {
  readonly handle: SessionHandle<unknown, unknown>
  readonly subscription: Subscription
}

export class HandleCache {
  readonly #held = new Map<string, WeakRef<Held>>()
  /** What keeps a pair alive as long as one of its two is. */
  readonly #pairs = new WeakMap<object, Held>()
  readonly #registry = new FinalizationRegistry<string>((id) => {
    if (this.#held.get(id)?.deref() === undefined) this.#held.delete(id)
  })

  get(id: string, make: () => Held): SessionHandle<unknown, unknown> {
    const known = this.#held.get(id)?.deref()
    if (known !== undefined) return known.handle
    const held = make()
    this.#held.set(id, new WeakRef(held))
    this.#pairs.set(held.handle, held)
    this.#pairs.set(held.subscription, held)
    this.#registry.register(held, id)
    return held.handle
  }

  subscription(id: string): Subscription | undefined {
    return this.#held.get(id)?.deref()?.subscription
  }
}
