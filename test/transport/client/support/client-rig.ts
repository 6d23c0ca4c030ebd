import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocket } from 'ws'
import { assign, emit, setup } from 'xstate'
import { defineSession } from '../../../../actors/define-session.ts'
import { createRuntime, type Runtime } from '../../../../runtime/index.ts'
import { createClient, type Client, type ClientOptions } from '../../../../transport/client/index.ts'
import { redisUrl } from '../../../support/servers.ts'
import { TcpProxy } from '../../../support/tcp-proxy.ts'

/** Keeps what it was told, in order; `ADD` of a number twice would be seen. */
export const list = defineSession({
  name: 'list',
  version: 1,
  presence: true,
  machine: setup({
    types: {} as {
      context: { numbers: number[] }
      events: { type: 'ADD'; n: number } | { type: 'FINISH' }
      emitted: { type: 'added'; n: number }
    },
  }).createMachine({
    context: { numbers: [] },
    initial: 'open',
    states: {
      open: {
        on: {
          ADD: {
            actions: [
              assign({ numbers: ({ context, event }) => [...context.numbers, event.n] }),
              emit(({ event }) => ({ type: 'added' as const, n: event.n })),
            ],
          },
          FINISH: 'finished',
        },
      },
      finished: { type: 'final' },
    },
  }),
})

export type Definitions = { list: typeof list }

/** One serving process on the Redis of the run, behind a line that can be broken. */
export interface Served {
  readonly runtime: Runtime
  readonly server: Server
  readonly proxy: TcpProxy
  readonly url: string
}

export class ClientRig {
  readonly #prefix = `test-${randomBytes(6).toString('hex')}`
  readonly #served: Served[] = []
  readonly #clients: { close(): void }[] = []

  async serve(): Promise<Served> {
    const runtime = await createRuntime({
      definitions: [list],
      redisUrl: redisUrl(),
      keyPrefix: this.#prefix,
      audit: false,
      logLevel: 'error',
    })
    const server = createServer()
    runtime.attach(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `ws://127.0.0.1:${String((server.address() as AddressInfo).port)}/ws`
    const proxy = await TcpProxy.start(url)
    const served = { runtime, server, proxy, url }
    this.#served.push(served)
    return served
  }

  client(url: string, options: Partial<ClientOptions> = {}): Client<Definitions> {
    const client = createClient<Definitions>({
      url,
      WebSocket,
      backoff: { minMs: 10, maxMs: 100 },
      ...options,
    })
    this.#clients.push(client)
    return client
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close()
    for (const { runtime, server, proxy } of this.#served) {
      await proxy.stop()
      await runtime.close({ deadlineMs: 1000 })
      server.close()
    }
  }
}
