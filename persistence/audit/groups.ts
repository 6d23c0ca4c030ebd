/**
 * Partitions are drained in groups: all of a group in one pass, with statements that take rows across them. One by
 * one, 64 partitions make batches too small to be cheap.
 */
import { PARTITIONS } from '../../actors/partitions.ts'

export const GROUPS = 8

const SIZE = PARTITIONS / GROUPS

/** The group (0 to 7) of a partition: neighbours share one. */
export function groupOf(partition: number): number {
  return Math.floor(partition / SIZE)
}

export function partitionsOf(group: number): number[] {
  return Array.from({ length: SIZE }, (_, index) => group * SIZE + index)
}
