/** What does the kernel's plan cost (step, checks, texts to store), beside the same written by hand? */
import { transition } from 'xstate'
import type { SnapshotFrom } from 'xstate'
import { createCollectingScope } from '../actors/scope.ts'
import { basketMachine } from './machines/basket-machine.ts'
import { createBasket, nthEvent } from './machines/basket-session.ts'
import { compareCosts } from './support/cost.ts'

type Snapshot = SnapshotFrom<typeof basketMachine>

const { kernel, live, record } = createBasket()
const REFUSED = { type: 'SET_QUANTITY', line: 99, quantity: 1 }
let n = 0
let planned = live
let byHand: Snapshot = basketMachine.getInitialSnapshot(createCollectingScope('bench', () => undefined))

await compareCosts('cost-of-a-plan', 'One event of a basket, up to the texts to store: what does it cost?', [
  {
    name: 'by hand: transition(), getPersistedSnapshot(), JSON.stringify()',
    run: () => {
      ;[byHand] = transition(basketMachine, byHand, nthEvent(n++))
      return JSON.stringify(basketMachine.getPersistedSnapshot(byHand))
    },
  },
  {
    name: 'kernel.transition()',
    run: () => {
      planned = kernel.transition(planned, nthEvent(n++))?.live ?? planned
    },
  },
  { name: 'kernel.transition(), event refused by a guard', run: () => kernel.transition(live, REFUSED) },
  { name: 'kernel.restore() of a record', run: () => kernel.restore(record) },
])
