import type { SessionStore } from '../../actors/ports.ts'

/** The store with some of its members replaced. */
export function overriding(store: SessionStore, members: Partial<SessionStore>): SessionStore {
  return {
    node: store.node,
    execute: (entries) => store.execute(entries),
    read: (id) => store.read(id),
    history: (id, count) => store.history(id, count),
    positions: (ids) => store.positions(ids),
    broadcast: (id, message) => store.broadcast(id, message),
    look: (partition, horizonMs, limit, skip) => store.look(partition, horizonMs, limit, skip),
    mail: (partition, afterId, limit) => store.mail(partition, afterId, limit),
    hasMail: (partition, entryIds) => store.hasMail(partition, entryIds),
    deleteMail: (partition, entries) => store.deleteMail(partition, entries),
    renew: (partition, ids, leaseMs) => store.renew(partition, ids, leaseMs),
    tellPresence: (partition, entries) => store.tellPresence(partition, entries),
    announce: (served) => store.announce(served),
    now: () => store.now(),
    ...members,
  }
}
