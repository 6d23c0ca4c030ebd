/**
 * `match`: a turn-based game of noughts and crosses for any number of seats in a row, as a pattern for other games:
 * a lobby that fills, turns that only the player whose turn it is can make, hands of cards that nobody else sees, an end with a result.
 *
 * lobby → playing → finished. Cells are numbered row by row from 0. Who lets the time of a turn pass has given up.
 * With `hand`, each cell is a card: players hold some, and play only those.
 */
import { assign, cancel, emit, enqueueActions, setup } from 'xstate'
import { z } from 'zod'
import { defineSession } from '../define-session.ts'

const player = z.string().min(1).max(64)
const options = z.strictObject({
  /** Players that make the match full. */
  seats: z.int().min(2).max(4).default(2),
  /** Cells of a side of the board. */
  size: z.int().min(3).max(9).default(3),
  /** Time for one turn; `null`: no limit. */
  turnMs: z
    .int()
    .min(1000)
    .max(30 * 24 * 3_600_000)
    .nullable()
    .default(60_000),
  /** Cards that each player holds; 0: no cards, every free cell can be played. */
  hand: z.int().min(0).max(9).default(0),
  /** All cells, in the order in which their cards are dealt; default: shuffled. */
  deck: z.array(z.int()).optional(),
})
/** Chance is taken here, and not by the machine: so it stands in the audit as an input, and the match can be played again from it. */
const input = options.transform(({ deck: given, ...rest }, check) => {
  const { hand, size } = rest
  const deck = given ?? (hand === 0 ? [] : shuffled(size * size))
  const isWhole = new Set(deck).size === deck.length && deck.every((cell) => cell >= 0 && cell < size * size)
  if (!isWhole || deck.length !== (hand === 0 ? 0 : size * size))
    check.addIssue({
      code: 'custom',
      path: ['deck'],
      message:
        hand === 0 ? 'is of no use without hand' : `must hold each cell from 0 to ${size * size - 1} once`,
    })
  return { ...rest, deck }
})
const events = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('JOIN'), player }),
  z.strictObject({ type: z.literal('LEAVE'), player }),
  z.strictObject({ type: z.literal('PLAY'), player, cell: z.int().min(0).max(80) }),
])

interface Context {
  readonly seats: number
  readonly size: number
  readonly turnMs: number | null
  readonly players: readonly string[]
  /** Who holds each cell; `null`: nobody. */
  readonly board: readonly (string | null)[]
  /** Index of the player whose turn it is. */
  readonly turn: number
  readonly winner: string | null
  readonly hand: number
  /** Cards not dealt yet, the next one first. */
  readonly deck: readonly number[]
  /** The cards of each player, in the order of `players`. */
  readonly hands: readonly (readonly number[])[]
}

const machine = setup({
  types: {} as {
    context: Context
    input: z.infer<typeof input>
    /** The last one is the machine's own: `events` keeps clients from sending it. */
    events: z.infer<typeof events> | { type: 'TURN_OVER' }
    emitted: { type: 'timedOut' | 'won'; player: string } | { type: 'drawn' }
  },
  actions: {
    /** An `after` always has a time; this one may have none. */
    startTurn: enqueueActions(({ context, enqueue }) => {
      enqueue.cancel('turn')
      if (context.turnMs !== null) enqueue.raise({ type: 'TURN_OVER' }, { id: 'turn', delay: context.turnMs })
    }),
  },
  guards: {
    isFull: ({ context }) => context.players.length === context.seats,
    isWon: ({ context }) => context.winner !== null,
    isDrawn: ({ context }) => context.board.every((cell) => cell !== null),
  },
}).createMachine({
  id: 'match',
  context: ({ input }) => ({
    ...input,
    players: [],
    board: Array<null>(input.size * input.size).fill(null),
    turn: 0,
    winner: null,
    hands: [],
  }),
  initial: 'lobby',
  output: ({ context }) => ({ winner: context.winner }),
  states: {
    lobby: {
      tags: 'joinable',
      always: { guard: 'isFull', target: 'playing' },
      on: {
        JOIN: {
          guard: ({ context, event }) => !context.players.includes(event.player),
          actions: assign({ players: ({ context, event }) => [...context.players, event.player] }),
        },
        LEAVE: {
          guard: ({ context, event }) => context.players.includes(event.player),
          actions: assign({
            players: ({ context, event }) => context.players.filter((name) => name !== event.player),
          }),
        },
      },
    },
    playing: {
      entry: [
        assign(({ context }) => dealt({ ...context, hands: context.players.map(() => []) })),
        'startTurn',
      ],
      exit: cancel('turn'),
      always: [
        {
          guard: 'isWon',
          target: 'finished',
          actions: emit(({ context }) => ({ type: 'won', player: context.winner ?? '' })),
        },
        { guard: 'isDrawn', target: 'finished', actions: emit({ type: 'drawn' }) },
      ],
      on: {
        PLAY: {
          guard: ({ context, event }) =>
            context.players[context.turn] === event.player &&
            context.board[event.cell] === null &&
            (context.hand === 0 || context.hands[context.turn]?.includes(event.cell) === true),
          actions: [assign(({ context, event }) => played(context, event.player, event.cell)), 'startTurn'],
        },
        // Who leaves gives up; who remains alone has won. The turn of another goes on.
        LEAVE: [
          {
            guard: ({ context, event }) => context.players[context.turn] === event.player,
            actions: [assign(({ context, event }) => left(context, event.player)), 'startTurn'],
          },
          {
            guard: ({ context, event }) => context.players.includes(event.player),
            actions: assign(({ context, event }) => left(context, event.player)),
          },
        ],
        TURN_OVER: {
          actions: [
            emit(({ context }) => ({ type: 'timedOut', player: playerOf(context) })),
            assign(({ context }) => left(context, playerOf(context))),
            'startTurn',
          ],
        },
      },
    },
    finished: { type: 'final' },
  },
})

function playerOf({ players, turn }: Context): string {
  return players[turn] ?? ''
}

function played(context: Context, player: string, cell: number): Partial<Context> {
  const board = context.board.map((holder, index) => (index === cell ? player : holder))
  const winner = hasRow(board, context.size, player) ? player : null
  const hands = context.hands.map((cards) => cards.filter((card) => card !== cell))
  return {
    board,
    winner,
    ...dealt({ ...context, hands }),
    turn: (context.turn + 1) % context.players.length,
  }
}

function left(context: Context, player: string): Partial<Context> {
  const seat = context.players.indexOf(player)
  const players = context.players.filter((name) => name !== player)
  const turn = (seat < context.turn ? context.turn - 1 : context.turn) % players.length
  // Their cards go under the deck: each cell can still be played.
  const deck = [...context.deck, ...(context.hands[seat] ?? [])]
  const hands = context.hands.filter((_, index) => index !== seat)
  const winner = players.length === 1 ? (players[0] ?? null) : null
  return { players, turn, winner, ...dealt({ ...context, players, turn, deck, hands }) }
}

/** Fills the hands up, one card at a time to who has the fewest, from the player whose turn it is on: so nobody has a turn without a card. */
function dealt({ deck, hands, hand, turn }: Context): Pick<Context, 'deck' | 'hands'> {
  const filled = hands.map((cards) => [...cards])
  let next = 0
  for (let count = 0; count < hand; count++) {
    for (let step = 0; step < filled.length; step++) {
      const cards = filled[(turn + step) % filled.length] ?? []
      const card = deck[next]
      if (card === undefined || cards.length > count) continue
      cards.push(card)
      next++
    }
  }
  return { deck: deck.slice(next), hands: filled }
}

function shuffled(cells: number): number[] {
  const deck = Array.from({ length: cells }, (_, cell) => cell)
  const chances = crypto.getRandomValues(new Uint32Array(cells))
  for (let last = cells - 1; last > 0; last--) {
    const other = (chances[last] ?? 0) % (last + 1)
    ;[deck[last], deck[other]] = [deck[other] ?? 0, deck[last] ?? 0]
  }
  return deck
}

/** Whether the player holds three cells in a line. */
function hasRow(board: readonly (string | null)[], size: number, player: string): boolean {
  const holds = (x: number, y: number): boolean =>
    x >= 0 && x < size && y < size && board[y * size + x] === player
  return board.some((_, cell) => {
    const x = cell % size
    const y = Math.floor(cell / size)
    return [
      [1, 0],
      [0, 1],
      [1, 1],
      [-1, 1],
    ].some(([dx = 0, dy = 0]) => [0, 1, 2].every((step) => holds(x + step * dx, y + step * dy)))
  })
}

export const matchSession = defineSession({
  name: 'match',
  version: 1,
  machine,
  events,
  input: z.preprocess((given) => given ?? {}, input),
  /** Each player sees their own cards, and of the others' how many there are. */
  view: ({ context: { deck, hands, ...open } }, principal) => ({
    ...open,
    deck: deck.length,
    hands: hands.map((cards, seat) =>
      open.hand > 0 && open.players[seat] === principal?.id ? cards : cards.length,
    ),
  }),
  /** All who hold no cards see the same. */
  viewKey: ({ context: { hand, players } }, principal) =>
    hand > 0 && principal !== null && players.includes(principal.id) ? principal.id : '',
})
