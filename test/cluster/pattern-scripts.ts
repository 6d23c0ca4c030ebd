/** What clients do with each machine of `patterns/`, and what must come of it, whoever dies meanwhile. */

export type Step =
  /** An event that is answered as said; `maybe`: also too late. */
  | { readonly send: Event; readonly as: 'committed' | 'unchanged' | 'maybe' }
  | { readonly until: unknown }
  | { readonly restMs: number }

interface Event {
  readonly type: string
  readonly [member: string]: unknown
}

export interface Pattern {
  readonly machine: string
  /** Instances whose numbers are equal modulo this do the same. Default 1. */
  readonly variants?: number
  readonly input?: (n: number, of: { readonly id: string; readonly folder: string }) => unknown
  readonly steps?: (n: number) => readonly Step[]
  /** The state at the end; default: what `output` says is enough. */
  readonly value?: (n: number) => unknown
  readonly output: (n: number, of: { committed: readonly Event[]; effects: readonly string[] }) => unknown
  /** What must be found in the folder of effects. */
  readonly effects?: (n: number, effects: readonly string[]) => boolean
  /** How many timers fire, and which promises settle, depends on when clients and deaths come in. */
  readonly varies?: true
}

const send = (type: string, more: object = {}): Step => ({ send: { type, ...more }, as: 'committed' })
const refused = (type: string, more: object = {}): Step => ({ send: { type, ...more }, as: 'unchanged' })
const maybe = (type: string, more: object = {}): Step => ({ send: { type, ...more }, as: 'maybe' })
const until = (value: unknown): Step => ({ until: value })
const rest = (restMs: number): Step => ({ restMs })

const approvals: Pattern[] = [
  {
    machine: 'escalation',
    input: () => ({ chain: ['lead', 'head', 'director'] }),
    steps: () => [until('lastWord'), send('APPROVE')],
    output: () => ({ by: 'director', asked: ['lead', 'head', 'director'] }),
  },
  {
    machine: 'board',
    variants: 3,
    steps: (n) => {
      const desks = ['LEGAL', 'MONEY', 'PRESS'].filter((_, index) => index !== n % 3)
      const [first = '', second = ''] = desks
      return [send(first), refused(first), rest(300), send(second)]
    },
    value: () => 'passed',
    output: () => 2,
  },
  {
    machine: 'onboarding',
    steps: () => [
      until({ profile: 'silent' }),
      send('PROFILE_FILLED'),
      refused('PROFILE_FILLED'),
      until({ mail: 'silent' }),
      send('MAIL_CONFIRMED'),
    ],
    output: () => ['profile', 'profile', 'mail', 'mail'],
  },
  {
    machine: 'contract',
    steps: () => [
      refused('SIGN'),
      send('OPEN'),
      send('SIGN'),
      until('buyer'),
      rest(200),
      send('OPEN'),
      refused('OPEN'),
      send('SIGN'),
    ],
    output: () => ['seller', 'buyer'],
  },
]

const sagaEnds = [
  { done: ['reserve', 'charge', 'ship'], undone: [], reason: null },
  { done: ['reserve', 'charge'], undone: ['refund', 'release'], reason: 'ship failed' },
  { done: ['reserve'], undone: ['release'], reason: 'charge failed' },
]

const orders: Pattern[] = [
  {
    machine: 'saga',
    variants: 3,
    input: (n) => ({ failAt: [null, 'ship', 'charge'][n % 3] }),
    value: (n) => ['shipped', 'failed', 'failed'][n % 3],
    output: (n) => sagaEnds[n % 3],
  },
  {
    machine: 'two-phase',
    steps: () => [until('prepared'), send('CONFIRM')],
    output: () => ({ paid: 1, packed: 1 }),
  },
  {
    machine: 'subscription',
    input: () => ({ validFor: 3 }),
    output: () => ({
      periods: 3,
      dunned: 2,
      log: ['period 1', 'period 2', 'period 3', 'dunning 1', 'dunning 2', 'ended'],
    }),
  },
  {
    machine: 'booking',
    variants: 2,
    input: (n) => ({ holdMs: n % 2 === 0 ? 3_600_000 : 400 }),
    steps: (n) => (n % 2 === 0 ? [send('CONFIRM'), until({ confirmed: 'reminded' }), send('ARRIVE')] : []),
    output: (n) => (n % 2 === 0 ? { reminded: 1, end: 'arrived' } : { reminded: 0, end: 'released' }),
  },
  {
    machine: 'vending',
    input: () => ({ price: 30 }),
    steps: () => [
      send('COIN', { value: 20 }),
      refused('COIN', { value: 3 }),
      refused('CHOOSE'),
      send('COIN', { value: 50 }),
      send('CHOOSE'),
      until('ready'),
      send('CHOOSE'),
      until('next'),
      send('LEAVE'),
    ],
    output: () => ({ change: 10, sold: 2 }),
  },
  {
    machine: 'bids',
    steps: () => [20, 50, 90, 140].flatMap((amount) => [maybe('BID', { amount }), rest(150)]),
    output: (_, { committed }) => ({ best: committed.at(-1)?.['amount'] ?? 0, bids: committed.length }),
    varies: true,
  },
]

const jobs: Pattern[] = [
  {
    machine: 'credit',
    variants: 3,
    input: (n) => ({ income: [3500, 2500, 1000][n % 3] }),
    steps: (n) => (n % 3 === 1 ? [until('offered'), send('SIGN')] : []),
    output: (n) =>
      [
        { score: 35, verdict: 'granted' },
        { score: 25, verdict: 'granted' },
        { score: 10, verdict: 'denied' },
      ][n % 3],
  },
  {
    machine: 'polling',
    variants: 2,
    input: (n) => (n % 2 === 0 ? { readyAt: 4, limit: 6 } : { readyAt: 9, limit: 3 }),
    value: (n) => ['ready', 'gaveUp'][n % 2],
    output: (n) => (n % 2 === 0 ? { asked: 4, report: 'report 4' } : { asked: 3, report: null }),
  },
  {
    machine: 'translation',
    input: (n) => ({ text: `text ${n}` }),
    steps: () => [until('checking'), send('ACCEPT')],
    output: (n) => ({ text: `text ${n} translated proofread typeset`, versions: 3 }),
  },
  { machine: 'fan-out', input: () => ({ size: 4 }), output: () => [1, 4, 9, 16] },
  { machine: 'pool', input: () => ({ todo: [1, 2, 3, 4, 5] }), output: () => ({ most: 2, sum: 55 }) },
  {
    machine: 'race',
    variants: 2,
    input: (n) => (n % 2 === 0 ? { workMs: 150, limitMs: 3_600_000 } : { workMs: 3_600_000, limitMs: 300 }),
    output: (n) => ['answered', 'too late'][n % 2],
  },
  {
    machine: 'upload',
    steps: () => [
      send('START', { ms: 3_600_000 }),
      rest(200),
      send('STOP'),
      refused('STOP'),
      send('START', { ms: 150 }),
    ],
    output: () => ({ run: 2, stored: [2] }),
  },
  { machine: 'breaker', input: () => ({ outage: 3 }), output: () => ({ calls: 4, opened: 2 }) },
]

const services: Pattern[] = [
  {
    machine: 'limited',
    variants: 2,
    input: (n, { folder }) => ({ folder, refusals: n % 2 === 0 ? 2 : 1000 }),
    output: (n) => ['fetched', '429'][n % 2],
    // A dot for each call, all under one effect key.
    effects: (n, [calls = '', ...others]) => others.length === 0 && calls.length >= (n % 2 === 0 ? 3 : 4),
  },
  {
    machine: 'receipts',
    input: (_, { folder }) => ({ folder }),
    output: () => 3,
    effects: (_, effects) => effects.toSorted().join() === 'receipt 1,receipt 2,receipt 3',
  },
  {
    machine: 'transfer',
    input: (_, { id, folder }) => ({ id, folder }),
    output: (_, { effects }) => ({ executions: 1, booked: effects[0] === 'booked' }),
    effects: (_, effects) => effects.length === 1,
    varies: true,
  },
]

const families: Pattern[] = [
  {
    machine: 'menu',
    output: () => ['bread in 2 steps', 'pie in 2 steps', 'tart in 2 steps'],
  },
  { machine: 'body', input: (n) => ({ seed: n }), output: (n) => 2 * (n + 1) },
  {
    machine: 'depot',
    steps: () => [
      send('SEND', { to: 'rome', hops: 1 }),
      send('SEND', { to: 'oslo', hops: 4 }),
      send('SEND', { to: 'bern', hops: 2 }),
      refused('SEND', { to: 'rome', hops: 9 }),
      send('CLOSE'),
    ],
    output: () => ({ sent: ['rome', 'oslo', 'bern'], arrived: ['bern', 'oslo', 'rome'] }),
  },
  {
    machine: 'supervisor',
    variants: 2,
    input: (n) => ({ flaws: n % 2 === 0 ? 2 : 9 }),
    output: (n) => (n % 2 === 0 ? { errors: 2, result: 'done in run 3' } : { errors: 2, result: null }),
  },
]

const talk: Pattern[] = [
  {
    machine: 'till',
    steps: () => [
      send('SCAN', { price: 5 }),
      send('SCAN', { price: 7 }),
      send('VOID'),
      rest(250),
      send('SCAN', { price: 4 }),
      send('SCAN', { price: 2 }),
      send('PAY'),
    ],
    output: () => ({ total: 6, adds: 4 }),
  },
  { machine: 'rally', input: () => ({ rounds: 4 }), output: () => ({ pongs: 4, hits: 4 }) },
  {
    machine: 'application',
    steps: () => [
      send('form.submit'),
      send('form.set', { name: 'name', value: 'Ada' }),
      rest(250),
      send('form.set', { name: 'city', value: 'Rome' }),
      send('form.submit'),
    ],
    output: () => ({ answers: { name: 'Ada', city: 'Rome' }, passed: 4 }),
  },
  { machine: 'thermostat', output: () => [15, 16, 17, 18, 19, 20, 20] },
  {
    machine: 'house',
    steps: () => [
      send('PRESS'),
      send('PRESS_BY_NAME'),
      rest(300),
      send('PRESS'),
      send('PRESS_BY_NAME'),
      send('PRESS'),
      send('LEAVE'),
    ],
    output: () => ({ presses: 5, switched: 5 }),
    varies: true,
  },
]

const clocks: Pattern[] = [
  {
    machine: 'stopwatch',
    steps: () => [maybe('PAUSE'), rest(100), maybe('RESUME'), rest(250), maybe('PAUSE'), maybe('RESUME')],
    output: (_, { committed }) => ({
      laps: 3,
      pauses: committed.filter(({ type }) => type === 'PAUSE').length,
    }),
    varies: true,
  },
  {
    machine: 'wizard',
    steps: () => [
      refused('SUBMIT'),
      send('NAME', { name: 'Bob' }),
      send('CITY', { city: 'Oslo' }),
      send('HELP'),
      rest(300),
      send('THANKS'),
      until({ steps: { address: 'filled' } }),
      send('BACK'),
      send('NAME', { name: 'Ada' }),
      send('SUBMIT'),
    ],
    output: () => ({ name: 'Ada', city: 'Oslo', helped: 1 }),
  },
  {
    machine: 'traffic-light',
    input: () => ({ rounds: 3 }),
    value: () => ({ cars: 'off', walkers: 'off' }),
    output: () => ({ cycles: 3, walks: 3 }),
  },
  {
    machine: 'lift',
    steps: () => [
      send('CALL', { floor: 2 }),
      send('CALL', { floor: 1 }),
      send('CALL', { floor: 3 }),
      until('idle'),
      send('NIGHT'),
    ],
    output: () => ({ floor: 3, visited: [2, 1, 3] }),
    varies: true,
  },
  {
    machine: 'turns',
    steps: () => [
      refused('PLAY', { card: 'black 7' }),
      send('PLAY', { card: 'red 3' }),
      rest(200),
      send('PLAY', { card: 'black 7' }),
    ],
    output: () => ({ turn: 1, played: ['red 3', 'black 7'], missed: 3 }),
  },
  {
    machine: 'draft',
    steps: () => [
      send('TYPE', { text: 'a' }),
      send('TYPE', { text: 'b' }),
      send('TYPE', { text: '.' }),
      until('clean'),
      send('TYPE', { text: 'c' }),
      send('TYPE', { text: '.' }),
      until('clean'),
      send('CLOSE'),
    ],
    output: () => ({ text: 'ab.c.', saved: ['ab.', 'ab.c.'] }),
  },
]

export const patterns: readonly Pattern[] = [
  ...approvals,
  ...orders,
  ...jobs,
  ...services,
  ...families,
  ...talk,
  ...clocks,
]
