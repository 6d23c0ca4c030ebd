/** A page of the poll in examples/poll.ts; docs/guide/client.md says how it is put on a site. */
import { createContext, useContext, useSyncExternalStore } from 'react'
import type { Client, Phase } from 'troupe/client'
// Only its type: nothing of the machine comes into the page.
import type poll from '../poll.ts'

/** The server's definitions, by their names. */
export interface Definitions {
  readonly poll: typeof poll
}

/** Made once, outside of the components: `createClient<Definitions>({ url: 'wss://example.org/ws' })`. */
export const TroupeContext = createContext<Client<Definitions> | null>(null)

/** The session with this id, its newest view (`null` until there is one, and when it has ended), and how its subscription stands. */
function useSession<D>(id: string) {
  const client = useContext(TroupeContext)
  if (client === null) throw new Error('there is no TroupeContext around this component')
  const session = client.session<D>(id)
  const getPhase = (): Phase => session.phase
  return {
    session,
    view: useSyncExternalStore(session.subscribe, session.getSnapshot, session.getSnapshot),
    phase: useSyncExternalStore(session.subscribe, getPhase, getPhase),
  }
}

export function PollPage({ id, voter }: { readonly id: string; readonly voter: string }) {
  const { session, view, phase } = useSession<typeof poll>(id)
  if (view === null) return <p>{phase === 'missing' ? 'There is no such poll.' : 'One moment …'}</p>
  const { question, options, votes } = view.context
  const vote = (option: string) => () => {
    // It arrives, once, also if the network is away just now.
    session.send({ type: 'VOTE', voter, option }).catch((error: unknown) => console.error(error))
  }
  return (
    <section>
      <h1>{question}</h1>
      {options.map((option) => (
        <button key={option} disabled={view.status !== 'active'} onClick={vote(option)}>
          {option}: {Object.values(votes).filter((each) => each === option).length}
        </button>
      ))}
      <Connection />
    </section>
  )
}

/** Says when the page is cut off. */
function Connection() {
  const status = useContext(TroupeContext)?.status
  if (status === undefined) return null
  return <ConnectionState status={status} />
}

function ConnectionState({ status }: { readonly status: Client<Definitions>['status'] }) {
  const { state } = useSyncExternalStore(status.subscribe, status.getSnapshot, status.getSnapshot)
  return state === 'open' ? null : <small>connecting …</small>
}
