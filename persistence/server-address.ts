/** Host, port and path of a URL, without user and password: fit for messages and logs. */
export function addressOf(url: string): string {
  if (!URL.canParse(url)) return 'an address that is not a URL'
  const { host, pathname } = new URL(url)
  return host + (pathname === '/' ? '' : pathname)
}
