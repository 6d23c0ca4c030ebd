/**
 * The members of one session on all processes, as this process knows them, for those of its subscribers who asked for them.
 *
 *  1. Changes are applied in the order of their numbers, each once. One that does not follow waits `gapHoldMs` for what is missing; then
 *     the list is read again, and what differs is told.
 *  2. A list that is read never undoes a change that came after it was asked for.
 *  3. Numbers that go back (another server, whose clock is behind) are believed: the list is read again.
 */
import { messageOf } from '../../actors/errors.ts'
import type { PresenceChange } from '../../actors/feed-message.ts'
import type { Clock, Logger } from '../../actors/ports.ts'
import type { PresenceAnswer, PresenceMember } from '../../actors/presence.ts'
import type { SessionId } from '../../actors/session.ts'

export interface RosterOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly read: (id: SessionId) => Promise<PresenceAnswer>
  /** JSON texts of members that have come, and that have gone. */
  readonly onChange: (joined: readonly string[], left: readonly string[]) => void
  /** How long changes may come out of order before the list is read again. */
  readonly gapHoldMs: number
  /** First and longest pause before a failed read is tried again. */
  readonly retryMs: { readonly first: number; readonly longest: number }
}

interface Waiting {
  readonly number: number
  readonly resolve: () => void
}

/** More waiting changes than this are not worth sorting. */
const MAX_HELD = 256

export class Roster {
  readonly id: SessionId
  readonly #options: RosterOptions
  /** JSON texts, by client. */
  #members = new Map<string, string>()
  /** Of the last change that is in it; `null`: it was not read yet. */
  #number: number | null = null
  #held: PresenceChange[] = []
  /** A change that is known to exist. */
  #expected = 0
  #waiting: Waiting[] = []
  #text: string | null = null
  #holdTimer: { cancel(): void } | null = null
  #retryMs = 0
  #isReading = false
  #isStopped = false

  constructor(id: SessionId, options: RosterOptions) {
    this.id = id
    this.#options = options
    this.readAgain()
  }

  get number(): number | null {
    return this.#number
  }

  /** JSON text of the list. */
  get text(): string {
    return (this.#text ??= `[${[...this.#members.values()].join(',')}]`)
  }

  stop(): void {
    this.#isStopped = true
    this.#holdTimer?.cancel()
    this.#held = []
  }

  /** Resolves when the list holds this change. */
  async reached(number: number): Promise<void> {
    if (this.#number !== null && number <= this.#number) return
    await new Promise<void>((resolve) => {
      this.#waiting.push({ number, resolve })
      this.#expect(number)
    })
  }

  heard(change: PresenceChange): void {
    if (this.#number !== null && change.number <= this.#number) return
    if (this.#number !== null && change.number === this.#number + 1) {
      this.#apply([change])
      this.#catchUp()
      return
    }
    if (this.#held.some(({ number }) => number === change.number)) return
    this.#held.push(change)
    this.#held.sort((a, b) => a.number - b.number)
    if (this.#held.length > MAX_HELD) this.#held.shift()
    this.#armHold()
  }

  /** The store's list is at this change; `before`: where this one was when the store was asked. */
  compare(number: number, before: number | null): void {
    if (before !== null && number < before) this.readAgain()
    else this.#expect(number)
  }

  /** Changes may have been missed. */
  readAgain(): void {
    if (this.#isReading || this.#isStopped) return
    this.#disarmHold()
    this.#isReading = true
    const before = this.#number
    const waiting = [...this.#waiting]
    this.#options.read(this.id).then(
      (answer) => {
        this.#isReading = false
        this.#retryMs = 0
        if (!this.#isStopped) this.#wasRead(answer, before, waiting)
      },
      (error: unknown) => {
        this.#isReading = false
        const details = { id: this.id, reason: messageOf(error) }
        this.#options.logger.debug(details, 'the members of a session could not be read yet')
        const { first, longest } = this.#options.retryMs
        this.#retryMs = Math.min(Math.max(first, this.#retryMs * 2), longest)
        if (!this.#isStopped) this.#armHold(this.#retryMs)
      },
    )
  }

  #wasRead({ number, roster }: PresenceAnswer, before: number | null, waiting: readonly Waiting[]): void {
    const wentBack = before !== null && number < before
    if (this.#number === null || number >= this.#number || wentBack) {
      const members = new Map(roster.map((text): [string, string] => [clientOf(text), text]))
      const left = [...this.#members].filter(([client]) => !members.has(client)).map(([, text]) => text)
      const joined = [...members].filter(([client]) => !this.#members.has(client)).map(([, text]) => text)
      this.#members = members
      this.#number = number
      if (wentBack) [this.#held, this.#expected] = [[], 0]
      this.#tell(joined, left)
    }
    // What was entered before the read began is in it, whatever its number.
    this.#waiting = this.#waiting.filter((each) => !waiting.includes(each))
    for (const { resolve } of waiting) resolve()
    this.#catchUp()
  }

  #catchUp(): void {
    const follow: PresenceChange[] = []
    let last = this.#number ?? Infinity
    for (const change of this.#held) {
      if (change.number > last + 1) break
      if (change.number === last + 1) follow.push(change)
      last = Math.max(last, change.number)
    }
    this.#held = this.#held.filter(({ number }) => number > last)
    this.#apply(follow)
    const number = this.#number ?? 0
    for (const { resolve } of this.#waiting.filter((each) => each.number <= number)) resolve()
    this.#waiting = this.#waiting.filter((each) => each.number > number)
    if (this.#held.length > 0 || this.#expected > number) this.#armHold()
    else this.#disarmHold()
  }

  #apply(changes: readonly PresenceChange[]): void {
    for (const change of changes) {
      const [joined, left]: [string[], string[]] = [[], []]
      for (const client of JSON.parse(change.left) as string[]) {
        const text = this.#members.get(client)
        if (text !== undefined && this.#members.delete(client)) left.push(text)
      }
      for (const member of JSON.parse(change.joined) as PresenceMember[]) {
        if (this.#members.has(member.client)) continue
        const text = JSON.stringify(member)
        this.#members.set(member.client, text)
        joined.push(text)
      }
      this.#number = change.number
      this.#tell(joined, left)
    }
  }

  #tell(joined: readonly string[], left: readonly string[]): void {
    if (joined.length === 0 && left.length === 0) return
    this.#text = null
    this.#options.onChange(joined, left)
  }

  #expect(number: number): void {
    if (this.#number !== null && number <= this.#number) return
    this.#expected = Math.max(this.#expected, number)
    this.#armHold()
  }

  #armHold(ms = this.#options.gapHoldMs): void {
    if (this.#holdTimer !== null || this.#isReading || this.#isStopped) return
    this.#holdTimer = this.#options.clock.setTimeout(() => {
      this.#holdTimer = null
      this.readAgain()
    }, ms)
  }

  #disarmHold(): void {
    this.#holdTimer?.cancel()
    this.#holdTimer = null
  }
}

function clientOf(text: string): string {
  return (JSON.parse(text) as PresenceMember).client
}
