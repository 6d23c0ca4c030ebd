/**
 * `approval`: several people look at something at the same time, and enough of them must agree.
 *
 * reviewing → approved, rejected or expired. Each reviewer has a child machine, which holds that review and its reminders; it
 * tells the parent what came of it. One rejection is enough, and so is a quorum of approvals.
 */
import { assign, emit, enqueueActions, sendParent, sendTo, setup, stopChild } from 'xstate'
import { z } from 'zod'
import { defineSession } from '../define-session.ts'

const DAY_MS = 24 * 3_600_000
/** To one reviewer. */
const REMINDERS = 5

const reviewer = z.string().min(1).max(64)
const reason = z.string().min(1).max(1000)
const input = z
  .strictObject({
    subject: z.string().min(1).max(200),
    reviewers: z.array(reviewer).min(1).max(20),
    /** How many must approve; default: all. */
    quorum: z.int().min(1).optional(),
    remindEveryMs: z
      .int()
      .min(1000)
      .max(30 * DAY_MS)
      .default(DAY_MS),
    /** How long all of it may take. */
    deadlineMs: z
      .int()
      .min(1000)
      .max(365 * DAY_MS)
      .default(7 * DAY_MS),
  })
  .refine(({ reviewers }) => new Set(reviewers).size === reviewers.length, {
    path: ['reviewers'],
    message: 'must not name anybody twice',
  })
  .refine(({ reviewers, quorum = 1 }) => quorum <= reviewers.length, {
    path: ['quorum'],
    message: 'must not be more than there are reviewers',
  })
const events = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('APPROVE'), reviewer }),
  z.strictObject({ type: z.literal('REJECT'), reviewer, reason }),
])

/** From a child to its parent. The schema `events` keeps clients from sending them. */
type FromReview =
  | { readonly type: 'APPROVED'; readonly reviewer: string }
  | { readonly type: 'REJECTED'; readonly reviewer: string; readonly reason: string }
  | { readonly type: 'REMIND'; readonly reviewer: string; readonly count: number }

const review = setup({
  types: {} as {
    context: { readonly reviewer: string; readonly remindEveryMs: number; readonly count: number }
    input: { readonly reviewer: string; readonly remindEveryMs: number }
    events: z.infer<typeof events>
  },
  delays: { remindEvery: ({ context }) => context.remindEveryMs },
}).createMachine({
  id: 'review',
  context: ({ input }) => ({ ...input, count: 0 }),
  initial: 'waiting',
  on: {
    APPROVE: {
      target: '.decided',
      actions: sendParent(({ event }): FromReview => ({ type: 'APPROVED', reviewer: event.reviewer })),
    },
    REJECT: {
      target: '.decided',
      actions: sendParent(({ event }): FromReview => ({
        type: 'REJECTED',
        reviewer: event.reviewer,
        reason: event.reason,
      })),
    },
  },
  states: {
    waiting: { after: { remindEvery: 'reminding' } },
    reminding: {
      entry: [
        assign({ count: ({ context }) => context.count + 1 }),
        sendParent(({ context: { reviewer, count } }): FromReview => ({ type: 'REMIND', reviewer, count })),
      ],
      always: [{ guard: ({ context }) => context.count < REMINDERS, target: 'waiting' }, 'silent'],
    },
    silent: {},
    decided: { type: 'final' },
  },
})

interface Context {
  readonly subject: string
  readonly reviewers: readonly string[]
  readonly quorum: number
  readonly remindEveryMs: number
  readonly deadlineMs: number
  readonly approvals: readonly string[]
  readonly rejection: { readonly reviewer: string; readonly reason: string } | null
}

const machine = setup({
  types: {} as {
    context: Context
    input: z.infer<typeof input>
    events: z.infer<typeof events> | FromReview
    emitted: { type: 'reminder'; reviewer: string; count: number }
  },
  actors: { review },
  guards: {
    isWaitedFor: ({ context, event }) =>
      context.reviewers.includes(event.reviewer) && !context.approvals.includes(event.reviewer),
    isApproved: ({ context }) => context.approvals.length >= context.quorum,
  },
  actions: {
    startReviews: enqueueActions(({ context: { reviewers, remindEveryMs }, enqueue }) => {
      for (const reviewer of reviewers)
        enqueue.spawnChild('review', { id: reviewId(reviewer), input: { reviewer, remindEveryMs } })
    }),
    toReview: sendTo(
      ({ event }) => reviewId(event.reviewer),
      ({ event }) => event,
    ),
  },
  delays: { deadline: ({ context }) => context.deadlineMs },
}).createMachine({
  id: 'approval',
  context: ({ input }) => ({
    ...input,
    quorum: input.quorum ?? input.reviewers.length,
    approvals: [],
    rejection: null,
  }),
  initial: 'reviewing',
  output: ({ context }) => ({
    verdict: verdictOf(context),
    approvals: context.approvals,
    rejection: context.rejection,
  }),
  states: {
    reviewing: {
      entry: 'startReviews',
      always: { guard: 'isApproved', target: 'approved' },
      after: { deadline: 'expired' },
      on: {
        APPROVE: { guard: 'isWaitedFor', actions: 'toReview' },
        REJECT: { guard: 'isWaitedFor', actions: 'toReview' },
        APPROVED: {
          actions: [
            assign({ approvals: ({ context, event }) => [...context.approvals, event.reviewer] }),
            stopChild(({ event }) => reviewId(event.reviewer)),
          ],
        },
        REJECTED: {
          target: 'rejected',
          actions: assign({ rejection: ({ event: { reviewer, reason } }) => ({ reviewer, reason }) }),
        },
        REMIND: {
          actions: emit(({ event: { reviewer, count } }) => ({ type: 'reminder', reviewer, count })),
        },
      },
    },
    approved: { type: 'final' },
    rejected: { type: 'final' },
    expired: { type: 'final' },
  },
})

/** A name of its own kind: XState has ids, such as `x:1`, that mean something else. */
function reviewId(reviewer: string): string {
  return `review:${reviewer}`
}

function verdictOf({ rejection, approvals, quorum }: Context): 'approved' | 'rejected' | 'expired' {
  if (rejection !== null) return 'rejected'
  return approvals.length >= quorum ? 'approved' : 'expired'
}

export const approvalSession = defineSession({ name: 'approval', version: 1, machine, events, input })
