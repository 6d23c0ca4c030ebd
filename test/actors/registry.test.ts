import { assign, createMachine, fromCallback, fromObservable, fromPromise, log, not, setup } from 'xstate'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineSession } from '../../actors/define-session.ts'
import { builtinDefinitions } from '../../actors/lifecycles/builtin.ts'
import { Registry } from '../../actors/registry.ts'

const machine = createMachine({})
const good = { name: 'good', version: 1, machine }

function refusal(config: object): string {
  try {
    new Registry().register(defineSession(config as never))
  } catch (error) {
    return (error as Error).message
  }
  return 'accepted'
}

describe('registering a definition', () => {
  it('names that a client can send', () => {
    for (const name of ['a', 'Cart', 'my-machine_2', 'x'.repeat(64)])
      expect(refusal({ ...good, name })).toBe('accepted')
    for (const name of ['', '1a', 'a b', 'ä', '-a', 'x'.repeat(65), 5, undefined])
      expect(refusal({ ...good, name })).toMatch(/must be a letter and up to 63/)
  })

  it.each([0, -1, 1.5, 2 ** 31, '1', Number.NaN, undefined])('version %s is refused', (version) => {
    expect(refusal({ ...good, version })).toBe(
      `definition "good": version must be a whole number from 1 to 2147483647, and is ${JSON.stringify(version)}`,
    )
  })

  it.each([null, undefined, {}, { config: {} }, 'machine', fromPromise(async () => 1)])(
    'what is no machine: %s',
    (none) => {
      expect(refusal({ ...good, machine: none })).toMatch(/"good": machine must come from XState 5/)
    },
  )

  it.each([0, -5, 1.5, '1h', Infinity, 1e14])('lifetime %s is refused', (ms) => {
    expect(refusal({ ...good, ttlMs: ms })).toMatch(
      /ttlMs must be a positive whole number of milliseconds up to 100 years, or null/,
    )
    expect(refusal({ ...good, doneTtlMs: ms })).toMatch(/doneTtlMs must be/)
  })

  it('presence is true, false or a function', () => {
    for (const presence of [true, false, undefined, () => null])
      expect(refusal({ ...good, presence })).toBe('accepted')
    for (const presence of ['yes', 1, {}])
      expect(refusal({ ...good, presence })).toBe(
        'definition "good": presence must be true, false or a function of the principal',
      )
  })

  it('audit says of parts whether the audit gets them', () => {
    for (const audit of [
      undefined,
      {},
      { context: 'none', event: () => null, input: 'full', output: undefined },
    ])
      expect(refusal({ ...good, audit })).toBe('accepted')
    for (const audit of [null, 'none', [], () => null])
      expect(refusal({ ...good, audit })).toBe(
        'definition "good": audit must be an object with any of event, input, context, output',
      )
    expect(refusal({ ...good, audit: { events: 'none' } })).toBe(
      'definition "good": audit.events is no part of a transition; there are: event, input, context, output',
    )
    expect(refusal({ ...good, audit: { context: false } })).toBe(
      'definition "good": audit.context must be "full", "none" or a function',
    )
  })

  it('lifetimes and schemas that work', () => {
    expect(refusal({ ...good, ttlMs: null, doneTtlMs: 5, events: z.any(), input: z.any() })).toBe('accepted')
    for (const option of ['events', 'input'])
      expect(refusal({ ...good, [option]: { parse: () => 1 } })).toMatch(
        `${option} must be a Standard Schema`,
      )
  })

  it('what is no definition, and what was made by another copy of the package', () => {
    for (const candidate of [null, undefined, 5, {}, machine, good])
      expect(() => new Registry().register(candidate)).toThrow(
        /is not a definition: make it with defineSession/,
      )
    expect(() => new Registry().register({ ...good, kind: 'troupe.session' })).not.toThrow()
  })

  it('what a machine refers to and nobody has made, by the path of its state', () => {
    const deep = (state: object) =>
      createMachine({ initial: 'a', states: { a: { initial: 'b', states: { b: state, c: {} } } } })
    const implemented = setup({ actions: { known: () => undefined }, guards: { known: () => true } })
    for (const [of, said] of [
      [deep({ entry: 'gone' }), 'state a.b uses action "gone", which is not in setup({ actions })'],
      [deep({ on: { X: { actions: { type: 'gone' } } } }), 'state a.b uses action "gone", which is not'],
      [deep({ always: { guard: 'gone', target: 'c' } }), 'state a.b uses guard "gone", which is not in'],
      [deep({ after: { gone: 'c' } }), 'state a.b waits for delay "gone", which is not in setup({ delays })'],
      [deep({ invoke: { src: 'gone' } }), 'state a.b invokes "gone", which is not in setup({ actors })'],
      [
        deep({ invoke: { src: fromCallback(() => undefined) } }),
        'the actor that state a.b invokes is made by',
      ],
      [
        setup({ actors: { watch: fromObservable(() => null as never) } }).createMachine({}),
        'actor "watch" is made by fromCallback or fromObservable, which holds no state',
      ],
      [
        setup({ actors: { child: deep({ exit: 'gone' }) } }).createMachine({}),
        'actor "child": state a.b uses action "gone"',
      ],
    ] as const)
      expect(refusal({ ...good, machine: of })).toContain(`definition "good": ${said}`)
    const machine = implemented.createMachine({
      entry: 'known',
      always: { guard: not('known'), actions: { type: 'known' } },
      after: { 10: { actions: assign({}) } },
    })
    expect(() => new Registry().register(defineSession({ ...good, machine }))).not.toThrow()
  })

  it('members that a definition does not have', () => {
    expect(refusal({ ...good, tll: 5 })).toContain(
      'definition "good": tll is no member of a definition; there are: name,',
    )
  })

  it('the same name and version twice is refused; another version is not', () => {
    const registry = new Registry()
    registry.register(defineSession(good))
    expect(() => registry.register(defineSession(good))).toThrow(
      'definition "good" version 1 is registered twice',
    )
    registry.register(defineSession({ ...good, version: 2 }))
  })
})

describe('finding a definition', () => {
  it('new sessions get the newest version, stored ones their own, whatever the order of registering', () => {
    const registry = new Registry()
    for (const version of [2, 3, 1]) registry.register(defineSession({ ...good, version }))
    expect(registry.names()).toEqual(['good'])
    expect(registry.newest('good').definition.version).toBe(3)
    expect(registry.kernelOf({ machine: 'good', machineVersion: 1 })?.definition.version).toBe(1)
  })

  it('one that is not there: who is asked says what there is', () => {
    const registry = new Registry()
    registry.register(defineSession(good))
    expect(() => registry.newest('bad')).toThrow(
      expect.objectContaining({
        code: 'unknown_machine',
        message: expect.stringContaining('there are: good') as string,
      }),
    )
    for (const session of [
      { machine: 'bad', machineVersion: 1 },
      { machine: 'good', machineVersion: 9 },
    ])
      expect(registry.kernelOf(session)).toBeNull()
  })

  it('the version that older ones are migrated to is the newest that can migrate', () => {
    const registry = new Registry()
    const migrate = () => ({ value: 'a', context: {} })
    for (const version of [1, 4, 3, 5, 2])
      registry.register(
        defineSession({ ...good, version, ...([2, 3, 4].includes(version) ? { migrate } : {}) }),
      )
    const targets = [1, 2, 3, 4, 5].map(
      (machineVersion) =>
        registry.migrationOf({ machine: 'good', machineVersion })?.definition.version ?? null,
    )
    expect(targets).toEqual([4, 4, 4, null, null])
    expect(registry.migrationOf({ machine: 'bad', machineVersion: 1 })).toBeNull()
  })

  it('the built-in definitions all register', () => {
    const registry = new Registry()
    for (const definition of builtinDefinitions) registry.register(definition)
    expect(registry.names()).toEqual(['document', 'checkout', 'match', 'ticket', 'auction', 'approval'])
  })

  it('what machines log, once the action runs, is told with their name', () => {
    const said: unknown[] = []
    const registry = new Registry((details, message) => said.push([details, message]))
    registry.register(defineSession({ ...good, machine: createMachine({ entry: log('hello', 'label') }) }))
    const { effects } = registry.newest('good').initial(undefined)
    expect(said).toEqual([])
    for (const { action } of effects) action.exec?.(action.info, action.params)
    expect(said).toEqual([[{ machine: 'good', version: 1 }, 'label hello']])
  })
})
