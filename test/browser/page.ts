/** What the page of `npm run test:browser` consists of: the client, and a few names for the test to call. */
import { createClient, type Client, type ClientView, type ConnectionStatus } from 'troupe/client'

let client: Client | null = null
const versions: number[] = []
const states: ConnectionStatus['state'][] = []

const session = () => {
  if (client === null) throw new Error('call open first')
  return client.session<unknown, { readonly state: object }>('shared')
}

const page = {
  versions,
  states,
  open(url: string, delta: boolean): void {
    client = createClient({
      url,
      delta,
      backoff: { minMs: 20, maxMs: 200 },
      silenceMs: 500,
      probeTimeoutMs: 500,
    })
    client.status.subscribe(({ state }) => void states.push(state))
  },
  async create(): Promise<void> {
    await client?.createSession('document', { id: 'shared', input: {}, ifExists: 'return' })
  },
  follow(): void {
    session().subscribe((notice) => {
      if (notice.kind === 'updated') versions.push(notice.session.version)
    })
  },
  view: (): ClientView<unknown, { readonly state: object }> | null => session().getSnapshot(),
  phase: () => session().phase,
  async merge(state: object): Promise<string> {
    return (await session().send({ type: 'MERGE', state })).outcome
  },
}
Object.assign(globalThis, { page })
