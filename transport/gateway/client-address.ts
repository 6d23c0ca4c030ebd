/** Where a connection comes from, also through proxies that say so and are believed. */
import { BlockList, isIP } from 'node:net'
import type { IncomingMessage } from 'node:http'

/** The address of whoever connected; with proxies, the nearest one that is none of them. */
export function clientAddress(request: IncomingMessage, proxies: BlockList | null): string {
  let address = plain(request.socket.remoteAddress ?? '')
  if (proxies === null) return address
  const forwarded = request.headers['x-forwarded-for']
  const hops = (Array.isArray(forwarded) ? forwarded.join(',') : (forwarded ?? '')).split(',')
  // Each proxy appends whom it got the request from: only what a believed one has said counts.
  while (isListed(proxies, address)) {
    const before = plain(hops.pop()?.trim() ?? '')
    if (isIP(before) === 0) break
    address = before
  }
  return address
}

/** Whether it is an address, or a range of them such as `10.0.0.0/8`. */
export function isAddressRange(entry: string): boolean {
  const [address = '', bits, ...more] = entry.split('/')
  const family = familyOf(address)
  if (family === null || more.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 'ipv4' ? 32 : 128))
}

/** @param entries each as {@link isAddressRange} takes it */
export function addressList(entries: readonly string[]): BlockList {
  const list = new BlockList()
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/')
    const family = familyOf(address) ?? 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return list
}

function isListed(list: BlockList, address: string): boolean {
  const family = familyOf(address)
  return family !== null && list.check(address, family)
}

function familyOf(address: string): 'ipv4' | 'ipv6' | null {
  const version = isIP(address)
  return version === 4 ? 'ipv4' : version === 6 ? 'ipv6' : null
}

/** Without what a server of both kinds of addresses puts before one of version 4, and without a port. */
function plain(address: string): string {
  const bare = address.replace(/^::ffff:(?=\d+\.)/i, '')
  return /^\[(.*)\](:\d+)?$/.exec(bare)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(bare)?.[1] ?? bare
}
