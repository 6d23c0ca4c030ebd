/**
 * Looks at everything that a connection gets: each message against its schema, each error against the catalogue, and
 * the positions of each session against the rule that a stream never goes back and tells nothing twice.
 */
import { errorKinds } from '../../actors/errors.ts'
import type { ErrorCode } from '../../actors/errors.ts'
import { comparePositions } from '../../actors/session.ts'
import type { Position } from '../../actors/session.ts'
import { commonErrors, methods, notifications } from '../../transport/protocol/messages.ts'
import type { MethodName, NotificationName } from '../../transport/protocol/messages.ts'
import { shown } from './broken.ts'
import type { ErrorObject, Incoming } from './wire.ts'

export class Inspector {
  readonly complaints: string[] = []
  /** Methods of the requests under way, by their ids as JSON. */
  readonly #asked = new Map<string, string>()
  /** The newest position that was told of each session. */
  readonly #told = new Map<string, Position>()

  /** Remembers what the replies to this frame will be replies to. */
  sent(text: string): void {
    for (const entry of entriesOf(parse(text))) {
      if (isObject(entry) && 'id' in entry && typeof entry['method'] === 'string')
        this.#asked.set(JSON.stringify(entry['id']), entry['method'])
    }
  }

  /** @returns the frame, parsed */
  arrived(text: string): unknown {
    const frame = parse(text)
    if (frame === undefined) this.#complain('a frame is not JSON', text)
    if (Array.isArray(frame) && frame.length === 0) this.#complain('an empty array was sent', frame)
    for (const message of entriesOf(frame)) this.#inspect(message, Array.isArray(frame))
    return frame
  }

  #inspect(message: unknown, isInBatch: boolean): void {
    if (!isObject(message) || message['jsonrpc'] !== '2.0') {
      this.#complain('not a JSON-RPC 2.0 message', message)
    } else if ('method' in message) {
      if (isInBatch || 'id' in message) this.#complain('a notification in a batch, or with an id', message)
      this.#inspectNotification(String(message['method']), message['params'])
    } else if (!('id' in message)) {
      this.#complain('a reply without id', message)
    } else if ('result' in message === 'error' in message) {
      this.#complain('a reply must have either a result or an error', message)
    } else {
      this.#inspectReply(message)
    }
  }

  #inspectReply(reply: Incoming): void {
    const id = JSON.stringify(reply.id)
    const method = this.#asked.get(id)
    this.#asked.delete(id)
    if (reply.error !== undefined) {
      this.#inspectError(reply.error, method)
      return
    }
    if (method === undefined) {
      this.#complain('a result that nobody asked for', reply)
      return
    }
    if (!Object.hasOwn(methods, method)) return
    const parsed = methods[method as MethodName].result.safeParse(reply.result)
    if (!parsed.success) {
      this.#complain(`the result does not fit ${method} (${parsed.error.issues[0]?.message ?? ''})`, reply)
      return
    }
    const result = reply.result
    if (!isObject(result)) return
    const view = method === 'subscribe' ? result['session'] : result
    if (isView(view)) this.#position(view, 'reply')
  }

  #inspectError(error: ErrorObject, method: string | undefined): void {
    const word = error.data?.code ?? ''
    const kind = Object.hasOwn(errorKinds, word) ? errorKinds[word as keyof typeof errorKinds] : undefined
    if (kind === undefined) this.#complain('an error without a word of the catalogue', error)
    else if (kind.rpc !== error.code || kind.retryable !== error.data?.retryable)
      this.#complain(`${word} is ${kind.rpc}, and ${kind.retryable ? '' : 'not '}retryable`, error)
    if (kind !== undefined && !isExpected(word as ErrorCode, method))
      this.#complain(`${word} is not among the errors of ${method ?? 'any request'}`, error)
    if (typeof error.message !== 'string' || error.message === '')
      this.#complain('an error without a message', error)
  }

  #inspectNotification(method: string, params: unknown): void {
    if (!Object.hasOwn(notifications, method)) {
      this.#complain(`there is no notification ${method}`, params)
      return
    }
    const parsed = notifications[method as NotificationName].params.safeParse(params)
    if (!parsed.success)
      this.#complain(`the params do not fit ${method} (${parsed.error.issues[0]?.message ?? ''})`, params)
    else if (method === 'sessionUpdated' && isView(params)) this.#position(params, 'notification')
  }

  /** A reply may tell again what is known; a notification tells something new. */
  #position(view: Position & { readonly id: string }, by: 'reply' | 'notification'): void {
    const before = this.#told.get(view.id)
    if (before !== undefined) {
      const step = comparePositions(view, before)
      const at = `${view.epoch}/${view.version} after ${before.epoch}/${before.version}`
      if (step < 0) this.#complain(`the stream of ${view.id} went back in a ${by}`, at)
      else if (step === 0 && by === 'notification') this.#complain(`${view.id} was told the same twice`, at)
      if (step <= 0) return
    }
    this.#told.set(view.id, { epoch: view.epoch, version: view.version })
  }

  #complain(what: string, about: unknown): void {
    if (this.complaints.length < 20) this.complaints.push(`${what}: ${shown(about)}`)
  }
}

function entriesOf(frame: unknown): readonly unknown[] {
  return Array.isArray(frame) ? frame : [frame]
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isView(value: unknown): value is Position & { readonly id: string } {
  return isObject(value) && typeof value['id'] === 'string' && 'epoch' in value && 'version' in value
}

/** Whether the page says that a request for this method can meet this error. */
function isExpected(word: ErrorCode, method: string | undefined): boolean {
  if (commonErrors.includes(word)) return true
  if (method === undefined || !Object.hasOwn(methods, method)) return false
  const own: readonly ErrorCode[] = methods[method as MethodName].errors
  return own.includes(word)
}
