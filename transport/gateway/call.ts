/** One request under way, and the ways in which it is answered: alone, or as part of a batch. */
import type { SessionRecord } from '../../actors/session.ts'
import type { Caller } from '../../actors/ports.ts'
import type { TroupeError } from '../../actors/errors.ts'
import { errorReplyText, resultText } from '../protocol/codec.ts'
import { errorText, notShown } from '../protocol/failures.ts'
import type { Client } from './client.ts'

/** JSON text that holds what must be as it is when it is written. */
type LateText = string | (() => string)

/**
 * A result. One that carries a view is put together when it is written, not before: by then the client may have been
 * told of a newer version, and its stream must not go back.
 */
export type Answer =
  | { readonly kind: 'text'; readonly text: LateText }
  | {
      readonly kind: 'view'
      readonly record: SessionRecord
      readonly head: LateText
      readonly tail: string
      /** `head` has opened the object that the view's members go into. */
      readonly merge: boolean
    }
  | { readonly kind: 'error'; readonly error: TroupeError }

export class Call {
  readonly client: Client
  readonly method: string
  /** `null`: is not answered. */
  readonly idText: string | null
  readonly #batch: BatchReply | null
  readonly #slot: number
  /** The session in whose order this call stands. */
  lane: string | null = null
  #over = false

  constructor(client: Client, method: string, idText: string | null, batch: BatchReply | null) {
    this.client = client
    this.method = method
    this.idText = idText
    this.#batch = batch
    this.#slot = batch === null || idText === null ? -1 : batch.reserve(idText)
  }

  get isInBatch(): boolean {
    return this.#batch !== null
  }

  /** Who calls. Without a reply to carry the update, the connection is told of it like any other. */
  get caller(): Caller {
    return this.idText === null ? this.client.silentCaller : this.client.caller
  }

  text(text: LateText): void {
    this.#answer({ kind: 'text', text })
  }

  /** The view alone. */
  view(record: SessionRecord): void {
    this.#answer({ kind: 'view', record, head: '', tail: '', merge: false })
  }

  /** The view's members after those in `head`: `{"outcome":"committed",`. */
  merged(head: string, record: SessionRecord): void {
    this.#answer({ kind: 'view', record, head, tail: '', merge: true })
  }

  /** The view as the last member of the object that `head` opens: `{"session":`. */
  wrapped(head: LateText, record: SessionRecord): void {
    this.#answer({ kind: 'view', record, head, tail: '}', merge: false })
  }

  fail(thrown: unknown): void {
    this.#answer({ kind: 'error', error: this.client.blame(this.method, thrown) })
  }

  #answer(answer: Answer): void {
    if (this.#over) return
    this.#over = true
    if (this.#batch !== null) this.#batch.settle(this.#slot, answer, this.lane)
    else if (this.idText !== null) {
      this.client.reply(replyText(this.client, this.method, this.idText, answer))
      if (this.lane !== null) this.client.replied(this.lane)
    }
    this.client.finished(this.lane)
  }
}

/** The replies of one batch: one array, once the last is there; nothing if none of its requests has an id. */
export class BatchReply {
  readonly #client: Client
  readonly #ids: string[] = []
  readonly #answers: (Answer | null)[] = []
  readonly #lanes: string[] = []
  #open: number

  /** `size`: requests in the batch, with or without id. */
  constructor(client: Client, size: number) {
    this.#client = client
    this.#open = size
  }

  reserve(idText: string): number {
    this.#ids.push(idText)
    return this.#answers.push(null) - 1
  }

  /** `slot` -1: a request without id is over. */
  settle(slot: number, answer: Answer, lane: string | null): void {
    if (slot >= 0) {
      this.#answers[slot] = answer
      if (lane !== null) this.#lanes.push(lane)
    }
    if (--this.#open > 0 || this.#answers.length === 0) return
    const texts = this.#answers.map((answer, index) =>
      answer === null ? '' : replyText(this.#client, 'a batch', this.#ids[index] ?? 'null', answer),
    )
    this.#client.reply(`[${texts.join(',')}]`)
    for (const each of this.#lanes) this.#client.replied(each)
  }
}

function replyText(client: Client, method: string, idText: string, answer: Answer): string {
  switch (answer.kind) {
    case 'text':
      return resultText(idText, written(answer.text))
    case 'error':
      return errorReplyText(idText, errorText(answer.error))
    case 'view': {
      const head = written(answer.head)
      try {
        const view = client.viewForReply(answer.record)
        return resultText(idText, head + (answer.merge ? view.slice(1) : view) + answer.tail)
      } catch (thrown) {
        // The definition's own view function failed.
        const error = answer.merge
          ? notShown(thrown, JSON.parse(`${head.slice(0, -1)}}`) as Record<string, unknown>)
          : thrown
        return errorReplyText(idText, errorText(client.blame(method, error)))
      }
    }
  }
}

function written(text: LateText): string {
  return typeof text === 'string' ? text : text()
}
