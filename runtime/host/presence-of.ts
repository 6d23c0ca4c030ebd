/** What a session's definition says of who is subscribed to it. */
import { hasPresence, memberText } from '../../actors/presence-member.ts'
import type { Principal } from '../../actors/ports.ts'
import type { SessionRecord } from '../../actors/session.ts'
import type { HostParts } from './host-parts.ts'

/** @returns a member as JSON text; `null`: its sessions have no presence, or it is not served here */
export function presenceOf(
  { versions, log }: Pick<HostParts, 'versions' | 'log'>,
  record: SessionRecord,
): ((client: string, principal: Principal | null) => string) | null {
  let shown: ReturnType<typeof versions.shown>
  try {
    shown = versions.shown(record)
  } catch {
    return null
  }
  const { definition } = shown.kernel
  if (!hasPresence(definition)) return null
  const { name, version, presence } = definition
  return (client, principal) =>
    memberText(presence, client, principal, (reason) =>
      log.error(
        { machine: name, version, id: record.id, reason },
        'a presence function failed, so the member is shown without what it says',
      ),
    )
}
