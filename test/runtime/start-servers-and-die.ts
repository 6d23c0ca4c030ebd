/** Starts the servers of the folder given as argument, prints where they are, and is killed before it can stop them. */
import { startEmbeddedServers } from '../../runtime/embedded/servers.ts'

const [dataDir, redisBinaries] = process.argv.slice(2)
if (dataDir === undefined || redisBinaries === undefined)
  throw new Error('usage: <data folder> <redis binaries>')
const servers = await startEmbeddedServers({
  dataDir,
  redisBinaries,
  redis: true,
  postgres: true,
  durable: false,
  log: (line) => {
    console.error(line)
  },
})
process.stdout.write(JSON.stringify(servers), () => {
  process.kill(process.pid, 'SIGKILL')
})
