/**
 * Clocks and chance of other worlds. A machine is to take time and chance from its events; nothing keeps it from asking for them
 * itself, and then no replay can give what it gave. So each step is replayed in two worlds, of which one is long ago and has all
 * bad luck, the other far ahead with all good luck: what comes out differently hangs on them, and what was asked is noted.
 *
 * While no step runs, all is as ever: steps are synchronous, so nothing else of the process sees another world.
 */
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'

/** One step's sight of time and chance. */
export class World {
  readonly #startMs: number
  readonly #isLucky: boolean
  #asked = 0

  constructor(start: string, isLucky: boolean) {
    this.#startMs = Date.parse(start)
    this.#isLucky = isLucky
  }

  /** Ms since 1970, later each time. */
  now(): number {
    return this.#startMs + this.#asked++
  }

  /** From 0 up to, not including, 1: never the same twice in a row, and always at the same end. */
  chance(): number {
    const small = (1 + (this.#asked++ % 1000)) / 2 ** 40
    return this.#isLucky ? 1 - small : small
  }
}

/** Two worlds that have nothing in common: neither year, month, day of the week, hour, minute nor second. */
export function twoWorlds(): readonly [World, World] {
  return [new World('2001-02-04T03:08:09.123Z', false), new World('2098-11-28T22:41:53.877Z', true)]
}

type Undo = () => void
type Time = Parameters<Intl.DateTimeFormat['format']>[0]

const nowOf = (world: World): [number] => [world.now()]

/** Takes the place of what tells time and chance, for as long as it is installed; one at a time. */
export class Worlds {
  #current: World | null = null
  readonly #asked = new Set<string>()
  readonly #undo: Undo[] = []

  /** Must be undone by {@link Worlds.uninstall}. Modules loaded before keep what they had taken for themselves. */
  static install(): Worlds {
    const worlds = new Worlds()
    worlds.#replaceClocks()
    worlds.#replaceFormats()
    worlds.#replaceChance()
    syncBuiltinESMExports()
    return worlds
  }

  uninstall(): void {
    for (const undo of this.#undo.reverse()) undo()
    syncBuiltinESMExports()
  }

  /** Computes in a world. `asked`: what of its time and chance was asked for, by name. */
  run<T>(world: World, compute: () => T): { readonly result: T; readonly asked: readonly string[] } {
    this.#asked.clear()
    this.#current = world
    try {
      return { result: compute(), asked: [...this.#asked] }
    } finally {
      this.#current = null
    }
  }

  #replaceClocks(): void {
    const RealDate = Date
    const replaced: DateConstructor = new Proxy(RealDate, {
      construct: (target, given: [] | [number], newTarget: typeof Date) => {
        const args = given.length === 0 ? this.#ask<[] | [number]>('new Date()', () => given, nowOf) : given
        return Reflect.construct(target, args, newTarget === replaced ? target : newTarget) as Date
      },
      apply: (target) =>
        this.#ask(
          'Date()',
          () => target(),
          (world) => new target(world.now()).toString(),
        ),
    })
    this.#replace(globalThis, 'Date', replaced)
    this.#wrap(RealDate, 'now', 'Date.now()', (world) => world.now())
    const { timeOrigin } = performance
    this.#wrap(performance, 'now', 'performance.now()', (world) => world.now() - timeOrigin)
    this.#wrap(process, 'hrtime', 'process.hrtime()', (world) => [Math.floor(world.now() / 1000), 0])
    this.#wrap(process.hrtime, 'bigint', 'process.hrtime()', (world) => BigInt(world.now()) * 1_000_000n)
    this.#wrap(process, 'uptime', 'process.uptime()', (world) => world.now() / 1000)
  }

  /** Asked for no time in particular, they write the present one. */
  #replaceFormats(): void {
    const formats = Intl.DateTimeFormat.prototype
    const presentUnless = (given: Time): Time => {
      if (given !== undefined || this.#current === null) return given
      return this.#ask(
        'Intl.DateTimeFormat',
        () => given,
        (world) => world.now(),
      )
    }
    const formatToParts = Reflect.get(formats, 'formatToParts') as (
      this: Intl.DateTimeFormat,
      time: Time,
    ) => unknown
    this.#replace(formats, 'formatToParts', function (this: Intl.DateTimeFormat, time: Time) {
      return formatToParts.call(this, presentUnless(time))
    })
    const format = Object.getOwnPropertyDescriptor(formats, 'format')
    const getter = function (this: Intl.DateTimeFormat): unknown {
      const bound = format?.get?.call(this) as Intl.DateTimeFormat['format']
      return (time: Time) => bound(presentUnless(time))
    }
    Object.defineProperty(formats, 'format', { configurable: true, enumerable: false, get: getter })
    this.#undo.push(() => Object.defineProperty(formats, 'format', format ?? {}))
  }

  #replaceChance(): void {
    this.#wrap(Math, 'random', 'Math.random()', (world) => world.chance())
    const uuid = (world: World): string =>
      `00000000-0000-4000-8000-${String(Math.floor(world.chance() * 1e12)).padStart(12, '0')}`
    const fill = (world: World, array: unknown): unknown => {
      const { buffer, byteOffset, byteLength } = array as ArrayBufferView
      new Uint8Array(buffer, byteOffset, byteLength).forEach((_, index, bytes) => {
        bytes[index] = Math.floor(world.chance() * 256) ^ (Math.floor(world.chance() * 2 ** 40) & 0xff)
      })
      return array
    }
    const web = globalThis.crypto
    for (const [from, where] of [
      [web, 'crypto'],
      [crypto, 'node:crypto'],
    ] as const) {
      this.#wrap(from, 'randomUUID', `${where} randomUUID()`, uuid)
      this.#wrap(from, 'getRandomValues', `${where} getRandomValues()`, fill)
    }
    this.#wrap(crypto, 'randomBytes', 'node:crypto randomBytes()', (world, size) =>
      fill(world, Buffer.alloc(Number(size))),
    )
    this.#wrap(crypto, 'randomFillSync', 'node:crypto randomFillSync()', fill)
    this.#wrap(crypto, 'randomInt', 'node:crypto randomInt()', (world, first, second) => {
      const [least, end] = typeof second === 'number' ? [Number(first), second] : [0, Number(first)]
      return least + Math.floor(world.chance() * (end - least))
    })
  }

  /** A method that asks the world of the step under way, and outside of steps is what it was. */
  #wrap(of: object, name: string, told: string, ask: (world: World, ...args: unknown[]) => unknown): void {
    const real = Reflect.get(of, name) as (...args: unknown[]) => unknown
    const wrapped = (...args: unknown[]): unknown =>
      this.#ask(
        told,
        () => real.apply(of, args),
        (world) => ask(world, ...args),
      )
    // What hangs on it, as `hrtime.bigint` does.
    this.#replace(of, name, Object.assign(wrapped, real))
  }

  #ask<T>(told: string, real: () => T, ask: (world: World) => T): T {
    if (this.#current === null) return real()
    this.#asked.add(told)
    return ask(this.#current)
  }

  #replace(of: object, name: string, instead: unknown): void {
    const before = Object.getOwnPropertyDescriptor(of, name)
    // As `getRandomValues` of node:crypto is, in some versions of Node.
    if (before?.configurable === false) return
    Object.defineProperty(of, name, { value: instead, configurable: true, writable: true, enumerable: false })
    this.#undo.push(() => {
      if (before === undefined) Reflect.deleteProperty(of, name)
      else Object.defineProperty(of, name, before)
    })
  }
}
