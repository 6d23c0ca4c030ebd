/**
 * A session's partition: one of 64 groups of Redis Cluster slots. All keys and channels of a session carry the
 * partition's hash tag, so that one script can touch them together.
 */

/** Number of partitions. Stands in the layout key; changing it orphans every stored session. */
export const PARTITIONS = 64

const SLOTS = 16384
const SLOTS_PER_PARTITION = SLOTS / PARTITIONS

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc & 0xffff
})

/** CRC16/XMODEM, the hash of Redis Cluster (cluster specification, appendix A). Ids and tags are ASCII. */
export function crc16(text: string): number {
  let crc = 0
  for (let i = 0; i < text.length; i++) {
    crc = ((crc << 8) & 0xffff) ^ (TABLE[((crc >> 8) ^ text.charCodeAt(i)) & 0xff] ?? 0)
  }
  return crc
}

/** The partition (0 to 63) of a session id. */
export function partitionOf(id: string): number {
  return (crc16(id) % SLOTS) % PARTITIONS
}

/**
 * Hash tags, one a partition: the first number in decimal whose slot lies in the partition's 64th of the slots, so
 * that every share of a cluster gets its share of partitions (plain `{0}`, `{1}`, … leave many servers without any).
 */
export const partitionTags: readonly string[] = chooseTags()

function chooseTags(): string[] {
  const tags = new Map<number, string>()
  for (let n = 0; tags.size < PARTITIONS; n++) {
    const share = Math.floor((crc16(String(n)) % SLOTS) / SLOTS_PER_PARTITION)
    if (!tags.has(share)) tags.set(share, String(n))
  }
  return Array.from({ length: PARTITIONS }, (_, partition) => tags.get(partition) ?? '')
}
