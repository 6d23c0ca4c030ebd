/**
 * The members that this process has in sessions, as it tells them to the store.
 *
 * What comes and goes is gathered: a partition is told at once if it was not for `gatherMs`, else when these are over, so that a
 * thousand clients that come back together are a few calls, and a few messages to the others. Calls for one partition go one after another. After
 * one that failed it is not known what the store holds, and the sessions concerned are told as a whole. Every partition
 * with members is told again and again that they are still there; that is when a loss of the list is noticed.
 */
import { messageOf } from '../../actors/errors.ts'
import { PARTITIONS, partitionOf } from '../../actors/partitions.ts'
import type { Clock, Logger } from '../../actors/ports.ts'
import { PRESENCE_BEAT_MS } from '../../actors/presence.ts'
import type { PresenceAnswer, PresenceEntry, PresenceStore } from '../../actors/presence.ts'
import type { SessionId } from '../../actors/session.ts'

export interface AttendanceOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly tell: PresenceStore['tellPresence']
  /** Number of the last change that is known here, of a session whose list is kept here; else `null`. */
  readonly numberOf: (id: SessionId) => number | null
  /** What the store answered, and the number that was known when it was asked. */
  readonly onAnswer: (id: SessionId, number: number, before: number | null) => void
  /** Default 50. */
  readonly gatherMs?: number
}

interface Waiting<T> {
  resolve(value: T): void
  reject(error: unknown): void
}

/** This process' members of one session. */
interface Place {
  readonly id: SessionId
  /** JSON texts by client. */
  readonly members: Map<string, string>
  /** Not told yet; the former are among the members. */
  joined: Map<string, string>
  left: Set<string>
  /** It is not known what the store holds. */
  isAstray: boolean
  /** Those who want to know when it is told, and those who want the list. */
  entering: Waiting<number>[]
  reading: Waiting<PresenceAnswer>[]
}

interface Partition {
  readonly index: number
  readonly places: Map<SessionId, Place>
  /** With something to tell. */
  readonly dirty: Set<Place>
  isBusy: boolean
  /** All of it is to be told. */
  isDue: boolean
  toldAt: number
  timer: { cancel(): void } | null
}

/** Sessions in one call, and members, unless one session has more. */
const MAX_SESSIONS = 200
const MAX_MEMBERS = 500
/** After a call that failed. */
const RETRY_MS = 1000

export class Attendance {
  readonly #options: AttendanceOptions
  readonly #gatherMs: number
  /** Only those with members. */
  readonly #partitions = new Map<number, Partition>()
  #next = 0
  #beatTimer: { cancel(): void } | null = null
  #isStopped = false

  constructor(options: AttendanceOptions) {
    this.#options = options
    this.#gatherMs = options.gatherMs ?? 50
  }

  /** Whether this client is a member here. */
  has(id: SessionId, client: string): boolean {
    return this.#partitions.get(partitionOf(id))?.places.get(id)?.members.has(client) ?? false
  }

  /** Whether this process has any member there, or anything left to tell. */
  isAt(id: SessionId): boolean {
    return this.#partitions.get(partitionOf(id))?.places.has(id) ?? false
  }

  /** @param text the member; not asked for if it is there already */
  enter(id: SessionId, client: string, text: () => string): void {
    if (this.#isStopped || this.has(id, client)) return
    const place = this.#placeOf(id)
    const member = text()
    place.members.set(client, member)
    // Whoever is back before it was told to have left has not left.
    if (!place.left.delete(client)) place.joined.set(client, member)
    this.#soon(place)
  }

  /** Resolves with the number of a change by which all that was entered before is in the list. @throws StoreFailure */
  told(id: SessionId): Promise<number> {
    return new Promise((resolve, reject) => {
      const place = this.#placeOf(id)
      place.entering.push({ resolve, reject })
      this.#soon(place)
    })
  }

  leave(id: SessionId, client: string): void {
    const place = this.#partitions.get(partitionOf(id))?.places.get(id)
    if (place?.members.delete(client) !== true) return
    if (!place.joined.delete(client)) place.left.add(client)
    this.#soon(place)
  }

  /** The list, read after the call. @throws StoreFailure */
  read(id: SessionId): Promise<PresenceAnswer> {
    return new Promise((resolve, reject) => {
      const place = this.#placeOf(id)
      place.reading.push({ resolve, reject })
      this.#soon(place)
    })
  }

  /** All members leave, and none is taken any more. Resolves when the others have been told, or cannot be. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#beatTimer?.cancel()
    const partitions = [...this.#partitions.values()]
    this.#partitions.clear()
    await Promise.all(
      partitions.map(async ({ index, places, timer }) => {
        timer?.cancel()
        const entries = [...places.values()].map(({ id }): PresenceEntry => ({
          ...{ id, joined: new Map(), left: [], isWhole: true, count: 0, wantsRoster: false },
        }))
        for (const { entering, reading } of places.values())
          for (const waiting of [...entering, ...reading])
            waiting.reject(new Error('this process is leaving'))
        // Who is not told finds that the lease is over.
        if (entries.length > 0) await this.#options.tell(index, entries).catch(() => undefined)
      }),
    )
  }

  #placeOf(id: SessionId): Place {
    const index = partitionOf(id)
    let partition = this.#partitions.get(index)
    if (partition === undefined) {
      partition = {
        ...{ index, places: new Map(), dirty: new Set<Place>(), isBusy: false, isDue: false },
        ...{ toldAt: -Infinity, timer: null },
      }
      this.#partitions.set(index, partition)
      if (this.#beatTimer === null) this.#beat()
    }
    let place = partition.places.get(id)
    if (place === undefined) {
      place = {
        ...{ id, members: new Map(), joined: new Map(), left: new Set(), isAstray: false },
        ...{ entering: [], reading: [] },
      }
      partition.places.set(id, place)
    }
    return place
  }

  #soon(place: Place): void {
    const partition = this.#partitions.get(partitionOf(place.id))
    if (partition === undefined) return
    partition.dirty.add(place)
    this.#arm(partition, partition.toldAt + this.#gatherMs - this.#options.clock.now())
  }

  #arm(partition: Partition, ms: number): void {
    if (partition.isBusy || partition.timer !== null || this.#isStopped) return
    partition.timer = this.#options.clock.setTimeout(
      () => {
        partition.timer = null
        void this.#tell(partition)
      },
      Math.max(0, ms),
    )
  }

  #beat(): void {
    this.#beatTimer = this.#options.clock.setTimeout(() => {
      this.#beatTimer = null
      const partition = this.#partitions.get(this.#next)
      this.#next = (this.#next + 1) % PARTITIONS
      if (partition !== undefined) {
        partition.isDue = true
        void this.#tell(partition)
      }
      if (this.#partitions.size > 0 && !this.#isStopped) this.#beat()
    }, PRESENCE_BEAT_MS / PARTITIONS)
  }

  /** Tells what there is to tell of a partition, a part of it after the other. Never rejects. */
  async #tell(partition: Partition): Promise<void> {
    if (partition.isBusy || this.#isStopped) return
    partition.isBusy = true
    partition.timer?.cancel()
    partition.timer = null
    const places = new Set(partition.isDue ? partition.places.values() : partition.dirty)
    partition.isDue = false
    let isWell = true
    while (places.size > 0 && isWell && !this.#isStopped) {
      partition.toldAt = this.#options.clock.now()
      isWell = await this.#call(partition, takeSome(places))
    }
    partition.isBusy = false
    if (partition.isDue && isWell) void this.#tell(partition)
    else if (partition.dirty.size > 0) this.#arm(partition, isWell ? this.#gatherMs : RETRY_MS)
    else if (partition.places.size === 0) this.#partitions.delete(partition.index)
  }

  /** @returns whether it was answered */
  async #call(partition: Partition, places: readonly Place[]): Promise<boolean> {
    const { tell, numberOf, onAnswer, logger } = this.#options
    const calls = places.map((place) => {
      const { entering, reading } = place
      partition.dirty.delete(place)
      return { place, entering, reading, before: numberOf(place.id), entry: entryOf(place) }
    })
    try {
      const answers = await tell(
        partition.index,
        calls.map(({ entry }) => entry),
      )
      for (const [index, { place, entering, reading, before }] of calls.entries()) {
        const answer = answers[index] as PresenceAnswer
        for (const waiting of reading) waiting.resolve(answer)
        if (!answer.isComplete) {
          place.isAstray = true
          this.#soon(place)
        }
        for (const waiting of entering) waiting.resolve(answer.number)
        onAnswer(place.id, answer.number, before)
        if (place.members.size === 0 && !partition.dirty.has(place)) partition.places.delete(place.id)
      }
      return true
    } catch (error) {
      logger.debug(
        { reason: messageOf(error) },
        'it could not be told who is subscribed; that is tried again',
      )
      for (const { place, entering, reading } of calls) {
        place.isAstray = true
        partition.dirty.add(place)
        for (const waiting of [...entering, ...reading]) waiting.reject(error)
      }
      return false
    }
  }
}

/** Takes as many out as one call may hold. */
function takeSome(places: Set<Place>): Place[] {
  const some: Place[] = []
  let members = 0
  for (const place of places) {
    if (some.length >= MAX_SESSIONS || (members >= MAX_MEMBERS && some.length > 0)) break
    members += (place.isAstray ? place.members : place.joined).size + place.left.size
    some.push(place)
    places.delete(place)
  }
  return some
}

/** What is to be told of a place; from now on it counts as told. */
function entryOf(place: Place): PresenceEntry {
  const { id, members, joined, left, isAstray, reading } = place
  const entry = {
    id,
    joined: isAstray ? new Map(members) : joined,
    left: isAstray ? [] : [...left],
    isWhole: isAstray,
    count: members.size,
    wantsRoster: reading.length > 0,
  }
  place.joined = new Map()
  place.left = new Set()
  place.isAstray = false
  place.entering = []
  place.reading = []
  return entry
}
