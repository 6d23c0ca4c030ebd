import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeBroadcast, parseFeedMessage } from '../../actors/feed-message.ts'
import { parseHead, parseRecord, HEAD_LENGTH } from '../../actors/record-text.ts'
import { compareEpochs, comparePositions, parseSessionId } from '../../actors/session.ts'
import type { SessionId } from '../../actors/session.ts'

const id = 'abc' as SessionId
const header =
  '3 22 33 - 1795469637067608 2 n1-5 counter 1 11 44 55 0 ;3:77 ;4:n1 ;n1:5:2:2:-:1795469637067608'
const record = {
  id,
  epoch: '1795469637067608',
  version: 2,
  commitId: 'n1-5',
  machine: 'counter',
  machineVersion: 1,
  createdAt: 11,
  updatedAt: 22,
  expiresAt: 33,
  ttlMs: 44,
  doneTtlMs: 55,
  timers: ';3:77',
  runs: ';4:n1',
  writers: ';n1:5:2:2:-:1795469637067608',
  state: '{"a":1}',
  internals: '{}',
}

describe('a record as text', () => {
  it('is read back, 0 meaning never', () => {
    expect(parseRecord(id, `${header}\n{}\n{"a":1}`)).toEqual(record)
    const forEver = header.replace('22 33', '22 0').replace('44 55', '0 0')
    expect(parseRecord(id, `${forEver}\n{}\n{"a":1}`)).toEqual({
      ...record,
      expiresAt: null,
      ttlMs: null,
      doneTtlMs: null,
    })
  })

  it('what is none is null: tombstones, other formats, what was cut off', () => {
    for (const text of [
      '',
      '1',
      '3t 5 2 n1-5 deleted -',
      header,
      `${header}\n{}`,
      `1${header.slice(1)}\n{}\n{}`,
    ])
      expect(parseRecord(id, text)).toBeNull()
  })

  it('a position is in its first characters, also of a tombstone', () => {
    expect(parseHead(`${header}\n{}\n{}`.slice(0, HEAD_LENGTH))).toEqual({
      epoch: record.epoch,
      version: 2,
      commitId: 'n1-5',
    })
    expect(parseHead('3t 5 2 n1-5 deleted -')).toEqual({ epoch: '5', version: 2, commitId: 'n1-5' })
    expect(
      parseHead(
        `3 ${'9'.repeat(13)} ${'9'.repeat(13)} ${'n'.repeat(20)}:${'9'.repeat(13)} ${'9'.repeat(20)} ${'9'.repeat(15)} ${'x'.repeat(40)} `.slice(
          0,
          HEAD_LENGTH,
        ),
      ),
    ).not.toBeNull()
    for (const text of ['', '2 5 2 x', '3 1 0 - x 2 ', 'nonsense']) expect(parseHead(text)).toBeNull()
  })
})

describe('a feed message as text', () => {
  it('an update with emitted events', () => {
    const text = `uabc\nn1\n1\n["ADD"]\n[[2,{"type":"told"}]]\n${header}\n{}\n{"a":1}`
    expect(parseFeedMessage(text)).toEqual({
      kind: 'updated',
      id,
      node: 'n1',
      baseVersion: 1,
      events: '["ADD"]',
      emitted: [{ version: 2, event: '{"type":"told"}' }],
      record,
    })
  })

  it('an end and a broadcast', () => {
    expect(parseFeedMessage('eabc\n5\n7\nexpired')).toEqual({
      kind: 'ended',
      id,
      position: { epoch: '5', version: 7 },
      reason: 'expired',
    })
    expect(parseFeedMessage(encodeBroadcast(id, '{"x":"\\n"}'))).toEqual({
      kind: 'message',
      id,
      message: '{"x":"\\n"}',
    })
  })

  it('anything else is skipped and breaks nothing', () => {
    for (const text of [
      '',
      'u',
      'uabc\nn1',
      'zabc\nx',
      'e\n\n',
      `uabc\nn1\n1\n[]\n[]\n1 other format\n{}\n{}`,
    ])
      expect(parseFeedMessage(text)).toBeNull()
    fc.assert(fc.property(fc.string(), (text) => void parseFeedMessage(text)))
  })
})

describe('ids and positions', () => {
  it('ids', () => {
    for (const text of ['a', 'A1', 'cart-1_x.y:z@w~', 'x'.repeat(128)])
      expect(parseSessionId(text)).toBe(text)
    for (const text of ['', '-a', 'a b', 'a\n', 'a/b', '{a}', 'ü', 'x'.repeat(129)])
      expect(parseSessionId(text)).toBeNull()
  })

  it('epochs are compared as numbers, however long; positions first by epoch', () => {
    const epoch = fc.bigInt({ min: 1n, max: 10n ** 20n })
    fc.assert(
      fc.property(epoch, epoch, fc.nat(), fc.nat(), (a, b, v, w) => {
        const sign = a < b ? -1 : a > b ? 1 : 0
        expect(Math.sign(compareEpochs(String(a), String(b)))).toBe(sign)
        const compared = comparePositions({ epoch: String(a), version: v }, { epoch: String(b), version: w })
        expect(Math.sign(compared)).toBe(sign || Math.sign(v - w))
      }),
    )
  })
})
