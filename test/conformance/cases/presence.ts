/** Who is subscribed: the list, and what changes of it. */
import { check, same } from '../broken.ts'
import type { Case, Scene } from '../case.ts'
import type { Peer } from '../peer.ts'

interface Member {
  readonly client: string
}

/** A session of a definition with presence. */
async function ticket(scene: Scene, peer: Peer): Promise<string> {
  const input = { subject: 'who is there', customer: 'conformance' }
  const { id } = await peer.result('createSession', { machine: 'ticket', id: scene.freshId(), input })
  return id
}

/** Subscribes, and keeps the list by what the connection is told. */
async function watch(peer: Peer, id: string): Promise<{ self: string; clients: () => string[] }> {
  const { presence, client } = await peer.result('subscribe', { id, presence: true })
  check(presence !== undefined && client !== undefined, 'the reply has no list, or does not say who is who')
  return {
    self: client,
    clients: () => {
      const list = new Set(presence.map((member) => member.client))
      for (const { joined, left } of peer.heard('presenceChanged', id)) {
        for (const member of joined as Member[]) {
          check(!list.has(member.client), `${member.client} has joined twice`)
          list.add(member.client)
        }
        for (const member of left as Member[])
          check(list.delete(member.client), `${member.client} has left, and was not there`)
      }
      return [...list].sort()
    },
  }
}

async function sees(
  peer: Peer,
  { clients }: { clients: () => string[] },
  wanted: readonly string[],
): Promise<void> {
  const text = JSON.stringify([...wanted].sort())
  await peer.until(`the list ${text}`, () => (JSON.stringify(clients()) === text ? true : undefined))
}

export const presenceCases: readonly Case[] = [
  {
    name: 'presence-joined',
    rule: 'With presence, subscribe lists all subscribed connections, its own too; those who asked are told each that joins, once, on every process.',
    async run(scene) {
      const peers = [await scene.open(), await scene.open(), await scene.open(), await scene.open()]
      const [first, second, third, fourth] = peers as [Peer, Peer, Peer, Peer]
      const id = await ticket(scene, first)
      const a = await watch(first, id)
      same('the first list', a.clients(), [a.self])
      const b = await watch(second, id)
      same('the second list', b.clients(), [a.self, b.self].sort())
      await sees(first, a, [a.self, b.self])
      // One that does not ask is listed as well, and is told nothing.
      const { presence } = await third.result('subscribe', { id })
      same('the list that nobody asked for', presence, undefined)
      await first.until('three members', () => (a.clients().length === 3 ? true : undefined))
      const d = await watch(fourth, id)
      same('the last list', d.clients().length, 4)
      for (const [peer, each] of [
        [first, a],
        [second, b],
      ] as const)
        await sees(peer, each, d.clients())
      await third.quiet()
      same('what the third was told', third.heard('presenceChanged', id), [])
    },
  },
  {
    name: 'presence-left',
    rule: 'A connection leaves when it unsubscribes or is lost; those who asked are told.',
    async run(scene) {
      const peers = [await scene.open(), await scene.open(), await scene.open()]
      const [first, second, third] = peers as [Peer, Peer, Peer]
      const id = await ticket(scene, first)
      const a = await watch(first, id)
      const b = await watch(second, id)
      const c = await watch(third, id)
      await sees(first, a, [a.self, b.self, c.self])
      await second.result('unsubscribe', { id })
      await sees(first, a, [a.self, c.self])
      third.socket.terminate()
      await sees(first, a, [a.self])
      await second.quiet()
      same(
        'what is told to who has unsubscribed',
        second.heard('presenceChanged', id).filter(({ left }) => (left as Member[]).length > 0),
        [],
      )
    },
  },
  {
    name: 'presence-refused',
    rule: 'presence is refused with invalid_params where the definition has none, and nothing is subscribed.',
    async run(scene) {
      const [writer, reader] = [await scene.open(), await scene.open()]
      const { id } = await scene.document(writer)
      await reader.refused('invalid_params', 'subscribe', { id, presence: true })
      await writer.result('broadcastToSession', { id, message: 1 })
      await reader.quiet()
      same('what it heard', reader.heard('sessionMessage', id), [])
    },
  },
]
