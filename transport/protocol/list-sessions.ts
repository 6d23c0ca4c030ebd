import { z } from 'zod'
import { DEFAULT_PAGE, LONGEST_PAGE } from '../../actors/session-list.ts'
import { json, view, type MethodSchema } from './messages.ts'

/** Over HTTP only: a list comes from PostgreSQL, and a connection has nothing to do with it. */
export const listSessions = {
  summary:
    'Sessions that the caller may see, those created last first. The list may be behind by `lagMs`; a page may have fewer than ' +
    '`limit`, and goes on as long as `nextCursor` is not `null`.',
  params: z.strictObject({
    machine: z.string().min(1).max(128).optional().describe('Name of a definition.'),
    state: z
      .string()
      .min(1)
      .max(512)
      .optional()
      .describe('A state that the session is in, by the path of its keys: `paying`, `paying.card`.'),
    tag: z.string().min(1).max(128).optional().describe('A tag of its current state.'),
    status: z
      .enum(['active', 'done', 'error', 'deleted', 'expired'])
      .optional()
      .describe('Default: all but `deleted` and `expired`.'),
    since: z
      .int()
      .min(0)
      .max(8.64e15)
      .optional()
      .describe('Only with a transition since then, in ms since 1970.'),
    cursor: z.string().min(1).max(1024).optional().describe('`nextCursor` of the page before.'),
    limit: z.int().min(1).max(LONGEST_PAGE).optional().describe(`Sessions at most; default ${DEFAULT_PAGE}.`),
  }),
  result: z.strictObject({
    sessions: z.array(
      view.pick({ id: true, machine: true, epoch: true, version: true, updatedAt: true }).extend({
        machineVersion: z.int().describe('Version of the definition.'),
        status: z.enum(['active', 'done', 'error', 'deleted', 'expired']),
        value: json.describe('The state; `null`: forgotten.'),
        tags: z.array(z.string()).describe('Tags of that state.'),
        createdAt: z.int().nullable().describe('ms since 1970; `null`: not known.'),
      }),
    ),
    nextCursor: z.string().nullable().describe('For the next page; `null`: there is none.'),
    lagMs: z
      .int()
      .nullable()
      .describe(
        'Age of the oldest transition that is not in the list yet; 0: none is missing; `null`: not known.',
      ),
    asOf: z
      .int()
      .nullable()
      .describe('All transitions up to then are in the list, ms since 1970; `null`: not known.'),
  }),
  errors: ['unknown_machine'],
} satisfies MethodSchema
