/** What does a bare XState step cost, with its pure functions and with a scope that is built once? */
import { transition } from 'xstate'
import type { SnapshotFrom } from 'xstate'
import { createCollectingScope } from '../actors/scope.ts'
import { basketMachine } from './machines/basket-machine.ts'
import { nthEvent } from './machines/basket-session.ts'
import { compareCosts } from './support/cost.ts'

type Snapshot = SnapshotFrom<typeof basketMachine>

const scope = createCollectingScope('bench', () => undefined)
let n = 0
let pure: Snapshot = basketMachine.getInitialSnapshot(scope)
let scoped: Snapshot = pure

await compareCosts('cost-of-a-transition', 'One event of a basket: what does the XState step cost?', [
  {
    name: "XState's pure transition()",
    run: () => {
      ;[pure] = transition(basketMachine, pure, nthEvent(n++))
    },
  },
  {
    name: 'machine.transition(), scope reused',
    run: () => {
      scope.collected = []
      scoped = basketMachine.transition(scoped, nthEvent(n++), scope)
    },
  },
])
