/** Ends the process with one clear line if this Node is too old for Troupe. */
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `troupe: Node ${process.versions.node} is too old, 20.19 is the oldest that works: install it from https://nodejs.org`,
  )
  process.exit(1)
}
if (process.platform === 'win32') {
  console.error('troupe: Windows itself is not supported: use it in WSL')
  process.exit(1)
}
