/** Who is subscribed to a session, as the client was told. */

/** One connection of a client. */
export interface PresentMember {
  /** Of the connection, for as long as it lasts: after a loss the same user is another one. */
  readonly client: string
  /** Id of its principal; `null`: nobody in particular. */
  readonly principal: string | null
  /** What the definition says of it. */
  readonly info?: unknown
  /** Whether it is the connection of this very client. */
  readonly isSelf: boolean
}

/** What has become of the list. */
export interface MembersChange {
  /** `null`: it is not known, or not any more. */
  readonly members: readonly PresentMember[] | null
  readonly joined: readonly PresentMember[]
  readonly left: readonly PresentMember[]
}

type ToldMember = Omit<PresentMember, 'isSelf'>

export class Members {
  #list: readonly PresentMember[] | null = null
  #self: string | null = null

  /** The same object until something has changed. */
  get list(): readonly PresentMember[] | null {
    return this.#list
  }

  /** The whole list, of a reply. @returns `null` if it is as it was */
  reset(told: readonly ToldMember[], self: string): MembersChange | null {
    this.#self = self
    const before = this.#list ?? []
    const list = told.map((member) => this.#own(member))
    const joined = list.filter(({ client }) => !has(before, client))
    const left = before.filter(({ client }) => !has(list, client))
    if (this.#list !== null && joined.length === 0 && left.length === 0) return null
    this.#list = list
    return { members: list, joined, left }
  }

  /** What has changed, of a notification. @returns `null` if the list is not known, or is as it was */
  change(joined: readonly ToldMember[], left: readonly ToldMember[]): MembersChange | null {
    const list = this.#list
    if (list === null) return null
    const came = joined.filter(({ client }) => !has(list, client)).map((member) => this.#own(member))
    const gone = list.filter(({ client }) => has(left, client))
    if (came.length === 0 && gone.length === 0) return null
    this.#list = [...list.filter(({ client }) => !has(left, client)), ...came]
    return { members: this.#list, joined: came, left: gone }
  }

  /** It is not known any more. @returns `null` if it was not */
  forget(): MembersChange | null {
    if (this.#list === null) return null
    this.#list = null
    return { members: null, joined: [], left: [] }
  }

  #own(member: ToldMember): PresentMember {
    return { ...member, isSelf: member.client === this.#self }
  }
}

function has(members: readonly ToldMember[], client: string): boolean {
  return members.some((member) => member.client === client)
}

/** Two changes as one. */
export function bothChanges(first: MembersChange, second: MembersChange): MembersChange {
  return {
    members: second.members,
    joined: [
      ...first.joined.filter(({ client }) => !has(second.left, client)),
      ...second.joined.filter(({ client }) => !has(first.left, client)),
    ],
    left: [
      ...first.left.filter(({ client }) => !has(second.joined, client)),
      ...second.left.filter(({ client }) => !has(first.joined, client)),
    ],
  }
}
