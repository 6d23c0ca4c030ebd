import type { SessionDefinition } from '../define-session.ts'
import { approvalSession } from './approval.ts'
import { auctionSession } from './auction.ts'
import { checkoutSession } from './checkout.ts'
import { documentSession } from './document.ts'
import { matchSession } from './match.ts'
import { ticketSession } from './ticket.ts'

/** The definitions that every process serves. */
export const builtinDefinitions: readonly SessionDefinition[] = [
  documentSession,
  checkoutSession,
  matchSession,
  ticketSession,
  auctionSession,
  approvalSession,
] as readonly SessionDefinition[]
