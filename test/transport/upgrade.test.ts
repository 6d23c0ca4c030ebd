import { describe, expect, it } from 'vitest'
import { isLoopback, isOriginAllowed } from '../../transport/gateway/upgrade.ts'

describe('who may connect while nobody is authenticated', () => {
  it('is whoever comes in at a loopback address', () => {
    for (const address of ['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1'])
      expect(isLoopback(address)).toBe(true)
    for (const address of [
      '192.168.1.5',
      '10.0.0.1',
      '::',
      'fe80::1',
      '::ffff:10.0.0.1',
      '1127.0.0.1',
      '',
      undefined,
    ])
      expect(isLoopback(address)).toBe(false)
  })

  it('is no page of another site', () => {
    for (const origin of ['http://localhost:5173', 'http://127.0.0.1', 'https://[::1]:8080', undefined])
      expect(isOriginAllowed(origin, undefined)).toBe(true)
    for (const origin of [
      'https://example.org',
      'http://localhost.example.org',
      'null',
      'file://',
      'http://127.0.0.1.nip.io',
    ])
      expect(isOriginAllowed(origin, undefined)).toBe(false)
    expect(isOriginAllowed('https://example.org', ['https://example.org'])).toBe(true)
  })
})
