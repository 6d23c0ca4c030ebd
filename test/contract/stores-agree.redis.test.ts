/** Whatever two processes ask of them, the store in Redis and the one in memory answer the same. */
import fc from 'fast-check'
import { afterAll, expect, it } from 'vitest'
import type {
  CommandKey,
  CommitEntry,
  CommittedTransition,
  SessionStore,
  StoreEntry,
} from '../../actors/ports.ts'
import { partitionOf } from '../../actors/partitions.ts'
import type { Position, SessionId } from '../../actors/session.ts'
import { transition, Writer } from '../persistence/store-support.ts'
import { sid } from '../support/hosts.ts'
import { stores } from './store-rig.ts'
import type { StoreRig } from './store-rig.ts'

const SESSIONS = ['one', 'two', 'three']
const LATER = 4_000_000
/** A lifetime that is over with the next step. */
const SHORT = 1

type Step =
  | { readonly kind: 'create'; readonly keyed: number }
  | {
      readonly kind: 'commit'
      /** How many positions before the newest that was heard of. */
      readonly behind: number
      readonly count: number
      readonly keyed: number
      readonly machineVersion: number
      readonly done: boolean
      readonly timer: 'none' | 'later' | 'firing' | 'early'
      readonly runs: 'none' | 'mine' | 'other' | 'both'
      readonly mailTo: number
      readonly isRedacted: boolean
      readonly ttlMs: number | null
      /** Whether it changes nothing but the state of the newest record, which it knows as a whole. */
      readonly atAGlance: boolean
    }
  | { readonly kind: 'check'; readonly behind: number; readonly keyed: number; readonly blank: boolean }
  | { readonly kind: 'delete' }
  | { readonly kind: 'expire' }
  | { readonly kind: 'again' }
  | { readonly kind: 'older' }
  | { readonly kind: 'look' }
  | { readonly kind: 'mail' }
  | { readonly kind: 'renew' }

interface Asked {
  readonly by: 0 | 1
  readonly session: number
  readonly step: Step
}

const keyed = fc.nat(5)
const behind = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(2) })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('create' as const), keyed }) },
  {
    weight: 9,
    arbitrary: fc.record({
      kind: fc.constant('commit' as const),
      behind,
      count: fc.integer({ min: 1, max: 3 }),
      keyed,
      machineVersion: fc.integer({ min: 1, max: 2 }),
      done: fc.boolean(),
      timer: fc.constantFrom('none' as const, 'later' as const, 'firing' as const, 'early' as const),
      runs: fc.constantFrom('none' as const, 'mine' as const, 'other' as const, 'both' as const),
      mailTo: fc.nat(SESSIONS.length),
      isRedacted: fc.boolean(),
      ttlMs: fc.constantFrom(null, LATER, 2 * LATER, SHORT),
      atAGlance: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('check' as const), behind, keyed, blank: fc.boolean() }),
  },
  {
    weight: 7,
    arbitrary: fc.constantFrom<Step>(
      { kind: 'delete' },
      { kind: 'expire' },
      { kind: 'again' },
      { kind: 'older' },
      { kind: 'look' },
      { kind: 'mail' },
      { kind: 'renew' },
    ),
  },
)
const asked: fc.Arbitrary<Asked> = fc.record({
  by: fc.constantFrom(0 as const, 1 as const),
  session: fc.nat(SESSIONS.length - 1),
  step,
})

/** One store, driven by what two processes ask; its answers come with names in place of times, epochs and processes. */
class Driven {
  readonly #ids: readonly SessionId[]
  readonly #writers: readonly [Writer, Writer]
  readonly #rig: StoreRig
  /** Positions that were heard of, by session, oldest first. */
  readonly #heard = new Map<SessionId, Position[]>()
  readonly #sent: [StoreEntry[], StoreEntry[]] = [[], []]
  readonly #names = new Map<string, string>()

  constructor(rig: StoreRig, ofStores: readonly [SessionStore, SessionStore], run: string) {
    this.#rig = rig
    this.#ids = SESSIONS.map((name) => sid(`${name}-${run}`))
    this.#writers = [new Writer(ofStores[0]), new Writer(ofStores[1])]
    ofStores.forEach(({ node }, n) => this.#names.set(node, `node ${n}`))
  }

  async ask({ by, session, step }: Asked): Promise<unknown> {
    const id = this.#ids[session] as SessionId
    const { store } = this.#writers[by]
    const partition = partitionOf(id)
    switch (step.kind) {
      case 'look':
        return this.#named(id, await this.#dueOf(id))
      case 'mail': {
        const mine = (await store.mail(partition, '', 1000)).filter(({ from }) => from === id)
        if (mine.length > 0) await store.deleteMail(partition, mine.slice(0, 2))
        return this.#named(
          id,
          mine.map(({ entryId: _, ...each }) => each),
        )
      }
      case 'renew':
        return store.renew(partition, [id], 20_000).then((lost) => lost.length)
      case 'again':
      case 'older': {
        const entry = this.#sent[by].at(step.kind === 'again' ? -1 : -3)
        return entry === undefined ? null : this.#run(by, entry)
      }
      default: {
        const entry = await this.#known(by, this.#entryOf(by, id, step), step)
        this.#sent[by].push(entry)
        return this.#run(by, entry)
      }
    }
  }

  /** What is there in the end. */
  async rest(): Promise<unknown> {
    const { store } = this.#writers[0]
    return Promise.all(
      this.#ids.map(async (id) => {
        const known = await this.#writers[0].run(this.#writers[0].check(id, null, ALL_KEYS))
        const [record, rows, positions] = [store.read(id), this.#rig.rows(id), store.positions([id])]
        const due = await this.#dueOf(id)
        return this.#named(id, {
          known,
          due,
          record: await record,
          rows: await rows,
          positions: await positions,
        })
      }),
    )
  }

  /** Always by the same process: a look is a lease on the partition, and other runs look at it too. */
  async #dueOf(id: SessionId): Promise<unknown[]> {
    const { due } = await this.#writers[0].store.look(partitionOf(id), 10 * LATER, 1000)
    const mine = due.filter((each) => each.id === id).map(({ dueMs: _, ...each }) => each)
    // Leases that end together come in the order of the processes' names, which differ.
    const nodes = this.#writers.map(({ store }) => store.node)
    const order = (each: (typeof mine)[number]): number => ('node' in each ? nodes.indexOf(each.node) : 2)
    return mine.sort((a, b) => order(a) - order(b) || a.kind.localeCompare(b.kind))
  }

  async #run(by: 0 | 1, entry: StoreEntry): Promise<unknown> {
    let outcome = await this.#writers[by].run(entry)
    if (entry.kind === 'commit' && entry.ttlMs === SHORT) await this.#rig.pass(5)
    const position = outcome.kind === 'stale' ? outcome.record : outcome.kind === 'committed' ? outcome : null
    if (position !== null) {
      const { epoch, version } = position
      this.#heard.set(entry.id, [...(this.#heard.get(entry.id) ?? []), { epoch, version }])
    }
    if (outcome.kind === 'early' && outcome.dueMs !== null) outcome = { ...outcome, dueMs: 1 }
    return this.#named(entry.id, outcome)
  }

  #entryOf(
    by: 0 | 1,
    id: SessionId,
    step: Extract<Step, { kind: 'create' | 'commit' | 'check' }> | { readonly kind: 'delete' | 'expire' },
  ): StoreEntry {
    const writer = this.#writers[by]
    switch (step.kind) {
      case 'delete':
        return writer.deletion(id)
      case 'expire':
        return writer.expiry(id)
      case 'create': {
        const keys = keysOf(step.keyed)
        return writer.creation(id, {
          keys,
          transitions: [{ ...transition(0, keys[0] ?? null), kind: 'created' }],
        })
      }
      case 'check':
        return writer.check(id, step.blank ? null : this.#base(id, step.behind), keysOf(step.keyed))
      default:
        return writer.commit(id, this.#base(id, step.behind), this.#commit(by, id, step))
    }
  }

  #commit(
    by: 0 | 1,
    id: SessionId,
    {
      behind,
      count,
      keyed,
      machineVersion,
      done,
      timer,
      runs,
      mailTo,
      isRedacted,
      ttlMs,
    }: Extract<Step, { kind: 'commit' }>,
  ): Partial<CommitEntry> {
    const base = this.#base(id, behind)
    const keys = keysOf(keyed)
    const to = this.#ids[mailTo]
    const mail = to === undefined ? [] : [{ to, event: '{"type":"HI"}', hops: 1 }]
    const [mine, other] = [this.#writers[by].store.node, this.#writers[by === 0 ? 1 : 0].store.node]
    return {
      keys,
      machineVersion,
      done,
      ttlMs,
      doneTtlMs: LATER,
      timers: timer === 'later' ? `;1:+${3 * LATER};2:+${LATER / 2}` : '-',
      firesAt: timer === 'firing' ? 1 : timer === 'early' ? 1e15 : null,
      runs: { none: '-', mine: `;7:${mine}`, other: `;7:${other}`, both: `;7:${mine};8:${other}` }[runs],
      transitions: Array.from({ length: count }, (_, n) => ({
        ...endedIf(done, transition(base.version + 1 + n, keys[n] ?? null)),
        mail,
        ...(isRedacted ? { auditedState: `{"value":"on","n":${n}}` } : {}),
      })),
      events: JSON.stringify(Array.from({ length: count }, () => 'ADD')),
    }
  }

  async #known(by: 0 | 1, entry: StoreEntry, step: Step): Promise<StoreEntry> {
    if (entry.kind !== 'commit' || step.kind !== 'commit' || !step.atAGlance) return entry
    const found = await this.#writers[by].store.read(entry.id)
    if (found === null) return entry
    const { epoch, version, machineVersion, ttlMs, doneTtlMs } = found
    const as = { machineVersion, ttlMs, doneTtlMs, done: false, timers: '-', runs: '-', firesAt: null }
    return { ...entry, ...as, base: { epoch, version }, found }
  }

  #base(id: SessionId, behind: number): Position {
    return this.#heard.get(id)?.at(-1 - behind) ?? { epoch: '1', version: 1 }
  }

  /** Times differ, and processes and lives are called otherwise: the first is the first in both stores. */
  #named(id: SessionId, value: unknown): unknown {
    const name = (text: string, kind: string): string => {
      const known = this.#names.get(text) ?? `${kind} ${this.#names.size}`
      this.#names.set(text, known)
      return known
    }
    const text = JSON.stringify(value, (member, each: unknown) => {
      if (['time', 'createdAt', 'updatedAt'].includes(member)) return 'a time'
      if (member === 'expiresAt') return each === null ? null : 'a time'
      if (member === 'epoch') return name(`${id} ${String(each)}`, 'epoch')
      // The one in memory keeps them elsewhere.
      if (member === 'writers') return undefined
      if (member === 'timers') return String(each).replace(/:\d{10,}/g, ':a time')
      return each
    })
    // Process ids stand within commit ids, runs and audits too; the commit that ended an expired session holds a time.
    const [first, second] = this.#writers.map(({ store }) => store.node) as [string, string]
    return JSON.parse(text.replaceAll(first, 'node 0').replaceAll(second, 'node 1').replace(/-x\d+/g, '-x'))
  }
}

/** A state says whether its machine has ended, as its commit does. */
function endedIf(done: boolean, each: CommittedTransition): CommittedTransition {
  return done ? { ...each, state: each.state.replace('"active"', '"done"') } : each
}

const ALL_KEYS: readonly CommandKey[] = ['a', 'b', 'c'].map((digest) => ({ digest, fingerprint: 'f' }))

/** 0: none; else one or two of a few, of which the last has another event. */
function keysOf(n: number): CommandKey[] {
  const [a, b, c] = ALL_KEYS
  return [[], [], [a], [b, a], [c], [{ digest: 'a', fingerprint: 'other' }]][n] as CommandKey[]
}

/** Chance does not bring this about in each run. */
const fencing: Asked[] = [
  { by: 0, session: 0, step: { kind: 'create', keyed: 0 } },
  ...[2, 1].map((machineVersion): Asked => {
    const plain = { behind: 0, count: 1, keyed: 0, done: false, timer: 'none', runs: 'none' } as const
    const step = {
      ...plain,
      kind: 'commit',
      machineVersion,
      mailTo: SESSIONS.length,
      isRedacted: false,
      ttlMs: LATER,
      atAGlance: false,
    } as const
    return { by: 1, session: 0, step }
  }),
]

const rigs = stores.map(([, create]) => create()) as [StoreRig, StoreRig]
afterAll(() => Promise.all(rigs.map((rig) => rig.close())))

it('CM1 CM2 CM3 CM4 CM5 whatever two processes ask, both stores answer the same', async () => {
  const pairs = await Promise.all(rigs.map((rig) => Promise.all([rig.store(), rig.store()])))
  const kinds = new Set<string>()
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(asked, { minLength: 5, maxLength: 40 }), async (all) => {
      run++
      const [redis, memory] = rigs.map(
        (rig, n) => new Driven(rig, pairs[n] as [SessionStore, SessionStore], String(run)),
      ) as [Driven, Driven]
      for (const one of all) {
        const expected = await redis.ask(one)
        kinds.add((expected as { kind?: string } | null)?.kind ?? one.step.kind)
        expect(await memory.ask(one)).toEqual(expected)
      }
      expect(await memory.rest()).toEqual(await redis.rest())
    }),
    { numRuns: 150, examples: [[fencing]] },
  )
  // It has seen something.
  for (const kind of ['committed', 'stale', 'gone', 'known', 'duplicate', 'current', 'fenced', 'early'])
    expect(kinds).toContain(kind)
})
