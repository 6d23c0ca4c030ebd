import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PARTITIONS, crc16, partitionOf, partitionTags } from '../../actors/partitions.ts'

describe('the hash of Redis Cluster', () => {
  // From the cluster specification, and slots that `CLUSTER KEYSLOT` gives.
  it.each([
    ['123456789', 0x31c3],
    ['', 0],
  ])('crc16(%j)', (text, sum) => {
    expect(crc16(text)).toBe(sum)
  })

  it.each([
    ['foo', 12182],
    ['bar', 5061],
    ['hello', 866],
  ])('slot of %s', (text, slot) => {
    expect(crc16(text) % 16384).toBe(slot)
  })

  it('is the checksum that a bitwise CRC16/XMODEM gives', () => {
    const bitwise = (text: string): number => {
      let crc = 0
      for (const byte of Buffer.from(text, 'ascii')) {
        crc ^= byte << 8
        for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff
      }
      return crc
    }
    fc.assert(fc.property(fc.string({ unit: 'grapheme-ascii' }), (text) => crc16(text) === bitwise(text)))
  })
})

describe('partitions', () => {
  it('each of the 64 tags lies in its own 64th of the slots', () => {
    expect(partitionTags).toHaveLength(PARTITIONS)
    const shares = partitionTags.map((tag) => Math.floor((crc16(tag) % 16384) / 256))
    expect(shares).toEqual(Array.from({ length: 64 }, (_, partition) => partition))
  })

  it('a cluster of any number of servers gives each its share of partitions', () => {
    for (const servers of [2, 3, 5, 8, 16, 64]) {
      const counts = Array.from({ length: servers }, () => 0)
      for (const tag of partitionTags) {
        const server = Math.floor(((crc16(tag) % 16384) * servers) / 16384)
        counts[server] = (counts[server] ?? 0) + 1
      }
      expect(Math.min(...counts)).toBeGreaterThanOrEqual(Math.floor(64 / servers) - 1)
      expect(Math.max(...counts)).toBeLessThanOrEqual(Math.ceil(64 / servers) + 1)
    }
  })

  it('ids spread evenly over them', () => {
    const counts = Array.from({ length: PARTITIONS }, () => 0)
    for (let n = 0; n < 64_000; n++) {
      const partition = partitionOf(`session-${n}`)
      counts[partition] = (counts[partition] ?? 0) + 1
    }
    expect(Math.min(...counts)).toBeGreaterThan(800)
    expect(Math.max(...counts)).toBeLessThan(1200)
  })

  it('stored data depends on them: they never change', () => {
    expect(['a', 'cart-1', '3f2b'].map(partitionOf)).toEqual([7, 40, 45])
    expect(partitionTags.join(' ')).toBe(
      '10 18 113 342 29 21 3 122 69 61 72 162 50 58 153 43 11 19 112 343 28 20 2 123 68 60 73 163 51 59 152 42 ' +
        '12 102 111 119 133 23 1 9 173 63 70 78 52 142 49 41 13 103 110 118 132 22 0 8 172 62 71 79 53 143 48 40',
    )
  })
})
