/**
 * `match`: a turn-based game of noughts and crosses for any number of seats in a row, as a pattern for other games:
 * a lobby that fills, turns that only the player whose turn it is can make, an end with a result.
 *
 * lobby → playing → finished. Cells are numbered row by row from 0. Who lets the time of a turn pass has given up.
 */
import { assign, cancel, emit, enqueueActions, setup } from 'xstate'
import { z } from 'zod'
import { defineSession } from '../define-session.ts'

const player = z.string().min(1).max(64)
const input = z.strictObject({
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
      entry: 'startTurn',
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
            context.players[context.turn] === event.player && context.board[event.cell] === null,
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
  return { board, winner, turn: (context.turn + 1) % context.players.length }
}

function left(context: Context, player: string): Partial<Context> {
  const seat = context.players.indexOf(player)
  const players = context.players.filter((name) => name !== player)
  const turn = seat < context.turn ? context.turn - 1 : context.turn
  return { players, turn: turn % players.length, winner: players.length === 1 ? (players[0] ?? null) : null }
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
})
