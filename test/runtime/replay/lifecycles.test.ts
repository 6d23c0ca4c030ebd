/** Any life of the lifecycles that come with Troupe, in virtual time, replayed from what goes to the audit. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { builtinDefinitions } from '../../../actors/lifecycles/builtin.ts'
import { Registry } from '../../../actors/registry.ts'
import type { RecordedTransition } from '../../../persistence/audit/recorded.ts'
import { SessionReplay } from '../../../runtime/replay/session-replay.ts'
import type { SessionReport } from '../../../runtime/replay/session-replay.ts'
import { Worlds } from '../../../runtime/replay/worlds.ts'
import { createTestKit } from '../../../runtime/testing/index.ts'
import type { TestKit } from '../../../runtime/testing/test-kit.ts'
import { KeptLog } from '../../transport/support/parts.ts'

type Step = { readonly type: string; readonly [member: string]: unknown } | { readonly waitMs: number }

const DAY_MS = 86_400_000
const waiting = fc.record({
  waitMs: fc.constantFrom(1, 999, 1000, 30_000, 3_600_000, 4 * 3_600_000, DAY_MS, 8 * DAY_MS),
})
const of = (type: string, members: Record<string, fc.Arbitrary<unknown>> = {}): fc.Arbitrary<Step> =>
  fc.record({ type: fc.constant(type), ...members }) as fc.Arbitrary<Step>
const who = fc.constantFrom('ann', 'bob', 'cy')
const text = fc.string({ minLength: 1, maxLength: 5, unit: fc.constantFrom('a', 'ä', '"', '\\', '😀', ' ') })
const json = fc.jsonValue({ maxDepth: 2, noUnicodeString: true })

const lives: Record<string, { input: fc.Arbitrary<unknown>; steps: fc.Arbitrary<Step>[] }> = {
  document: {
    input: fc.option(json, { nil: undefined }),
    steps: [
      of('SET', { state: json }),
      of('MERGE', { state: fc.dictionary(fc.constantFrom('a', 'b'), json) }),
    ],
  },
  checkout: {
    input: fc.constant(undefined),
    steps: [
      of('ADD', {
        sku: fc.constantFrom('tea', 'cup'),
        quantity: fc.integer({ min: 1, max: 3 }),
        unitPrice: fc.nat(9),
      }),
      of('REMOVE', { sku: fc.constantFrom('tea', 'cup') }),
      of('PAY'),
      of('DECLINED', { reason: text }),
      of('PAID', { reference: text }),
      of('CANCEL'),
    ],
  },
  match: {
    input: fc.constantFrom({}, { turnMs: null }, { hand: 3 }, { seats: 3, size: 4, turnMs: 1000 }),
    steps: [
      of('JOIN', { player: who }),
      of('LEAVE', { player: who }),
      ...Array.from({ length: 4 }, () => of('PLAY', { player: who, cell: fc.nat(8) })),
    ],
  },
  ticket: {
    input: fc.record({ subject: text, customer: who, remindAfterMs: fc.constantFrom(1000, 3_600_000) }),
    steps: [
      of('ASSIGN', { agent: who }),
      of('REPLY', { from: fc.constantFrom('agent', 'customer'), text }),
      of('NOTE', { text }),
      of('ESCALATE'),
      of('RESOLVE'),
    ],
  },
  auction: {
    input: fc.record({
      item: text,
      durationMs: fc.constantFrom(60_000, DAY_MS),
      startPrice: fc.constantFrom(1, 50),
    }),
    steps: [of('BID', { bidder: who, amount: fc.integer({ min: 1, max: 200 }) })],
  },
  approval: {
    input: fc.record({
      subject: text,
      reviewers: fc.constant(['ann', 'bob', 'cy']),
      quorum: fc.constantFrom(1, 2, 3),
    }),
    steps: [of('APPROVE', { reviewer: who }), of('REJECT', { reviewer: who, reason: text })],
  },
}

const registry = new Registry()
for (const each of builtinDefinitions) registry.register(each)

/** As PostgreSQL would hold it. */
function recorded(kit: TestKit, id: string, machine: string): RecordedTransition[] {
  return kit.history(id).map((row) => {
    const { epoch, version, state } = row
    const nameOf = (of: number): string => `${epoch}-${of}`
    return {
      ...{ sessionId: id, epoch, version, machine, machineVersion: 1, timeMs: row.time, kind: row.kind },
      ...{ commitId: nameOf(version), previousCommitId: version === 1 ? null : nameOf(version - 1) },
      ...{ event: row.event, input: row.input, sender: row.sender ?? null, failed: row.failed ?? null },
      ...{ value: state?.value, context: state?.context, status: state?.status ?? null, tags: state?.tags },
      ...{ output: state?.output, isForgotten: false, redacted: [] },
    }
  })
}

function replay(rows: readonly RecordedTransition[]): SessionReport {
  const worlds = Worlds.install()
  try {
    const replay = new SessionReplay(
      'any',
      { registry, as: null, migrateAfter: null, statesOnly: false },
      worlds,
    )
    for (const row of rows) replay.take(row)
    return replay.report
  } finally {
    worlds.uninstall()
  }
}

describe('AU4 any life replayed from its inputs comes to the states that were stored', () => {
  const seen = new Set<string>()

  it.each(Object.entries(lives))('of %s', async (machine, { input, steps }) => {
    const life = fc.tuple(input, fc.array(fc.oneof(...steps, waiting), { minLength: 5, maxLength: 25 }))
    const kit = await createTestKit({
      definitions: [...builtinDefinitions],
      logger: new KeptLog(),
    })
    let number = 0
    let rowsSeen = 0
    try {
      await fc.assert(
        fc.asyncProperty(life, async ([given, taken]) => {
          const id = `life-${++number}`
          await kit.createSession(machine, { id, input: given, ttlMs: null } as never)
          for (const step of taken)
            if ('waitMs' in step) await kit.advance(step.waitMs as number)
            else await kit.updateSession(id, step).catch(() => undefined)
          const rows = recorded(kit, id, machine)
          for (const { kind } of rows) seen.add(kind)
          rowsSeen += rows.length
          expect(replay(rows)).toMatchObject({
            rows: rows.length,
            equal: rows.filter(({ kind }) => kind !== 'expired').length,
            divergence: null,
            notComparable: new Map(),
          })
        }),
        { numRuns: 25 },
      )
    } finally {
      await kit.close()
    }
    // The lives go somewhere.
    expect(rowsSeen).toBeGreaterThan(2 * 25)
  })

  it('with timers among them', () => {
    expect([...seen]).toEqual(expect.arrayContaining(['created', 'event', 'timer']))
  })
})
