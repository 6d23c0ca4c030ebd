/** A rule of the protocol, and what a case has at hand to try it. */
import { randomBytes } from 'node:crypto'
import { Peer } from './peer.ts'
import type { PeerOptions } from './peer.ts'
import type { ResultOf } from './wire.ts'

export interface Case {
  /** Unique, kebab-case: how `--only` and reports name it. */
  readonly name: string
  /** One sentence that must be true of every implementation. */
  readonly rule: string
  /** @throws Broken */
  readonly run: (scene: Scene) => Promise<void>
}

export class Scene {
  readonly url: string
  readonly peers: Peer[] = []
  readonly #ids: string[] = []
  readonly #options: PeerOptions

  constructor(url: string, options: PeerOptions) {
    this.url = url
    this.#options = options
  }

  async open(options: PeerOptions = {}): Promise<Peer> {
    const peer = await Peer.open(this.url, { ...this.#options, ...options })
    this.peers.push(peer)
    return peer
  }

  /** An id that nobody uses; what is made with it is deleted after the case. */
  freshId(): string {
    const id = `conformance-${randomBytes(9).toString('hex')}`
    this.#ids.push(id)
    return id
  }

  /** A `document` with nothing in it. */
  async document(
    peer: Peer,
    more: { readonly subscribe?: boolean } = {},
  ): Promise<ResultOf<'createSession'>> {
    return peer.result('createSession', { machine: 'document', id: this.freshId(), ...more })
  }

  async close(): Promise<void> {
    for (const peer of this.peers) peer.socket.terminate()
    if (this.#ids.length === 0) return
    const cleaner = await Peer.open(this.url, this.#options).catch(() => null)
    for (const id of this.#ids) await cleaner?.call('deleteSession', { id }).catch(() => undefined)
    cleaner?.socket.terminate()
  }
}

/** An event for `document` that leaves a trace of its own. */
export function merge(name: string, value: unknown): { type: 'MERGE'; state: Record<string, unknown> } {
  return { type: 'MERGE', state: { [name]: value } }
}
