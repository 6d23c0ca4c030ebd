import { afterEach, beforeEach, expect, it } from 'vitest'
import { sleepMs, until } from '../../support/hosts.ts'
import { ClientRig, type Served } from './support/client-rig.ts'

let rig: ClientRig
let here: Served
let there: Served
beforeEach(async () => {
  rig = new ClientRig()
  ;[here, there] = [await rig.serve(), await rig.serve()]
})
afterEach(async () => {
  await rig.stop()
})

it('PR1 each client’s list is the truth in the end, over lines that are cut again and again', async () => {
  const clients = Array.from({ length: 6 }, (_, n) => rig.client((n % 2 === 0 ? here : there).proxy.url))
  await clients[0]?.createSession('list', { id: 'a' })
  const sessions = clients.map((client) => client.session('a'))
  for (const session of sessions) {
    session.subscribe(() => undefined, { presence: true })
    await sleepMs(20)
  }
  for (let n = 0; n < 6; n++) {
    await sleepMs(80)
    ;(n % 2 === 0 ? here : there).proxy.cut()
  }
  const ids = (index: number) =>
    (sessions[index]?.members.getSnapshot() ?? []).map(({ client }) => client).sort()
  await until(
    () =>
      sessions.every(
        (session, index) =>
          session.members.getSnapshot()?.length === 6 && ids(index).join() === ids(0).join(),
      ),
    15_000,
  )
  const selves = sessions.map(
    (session) => session.members.getSnapshot()?.find(({ isSelf }) => isSelf)?.client,
  )
  expect(selves.toSorted()).toEqual(ids(0))
})
