/** The lines of docs/guide/http.md do what the page says when they are pasted. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { transformSync } from 'esbuild'
import { expect, it } from 'vitest'
import { builtinDefinitions } from '../../actors/lifecycles/builtin.ts'
import { createRuntime } from '../../runtime/index.ts'
import { redisUrl } from '../support/servers.ts'
import { KeptLog } from '../transport/support/parts.ts'

const PAGE = join(import.meta.dirname, '..', '..', 'docs', 'guide', 'http.md')
const CURL = join(import.meta.dirname, 'curl.ts')

/** A folder with a `curl`, to be looked at behind all others. */
function standIn(): string {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-curl-'))
  const program = join(folder, 'curl.mjs')
  writeFileSync(program, transformSync(readFileSync(CURL, 'utf8'), { loader: 'ts' }).code)
  writeFileSync(join(folder, 'curl'), `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`, {
    mode: 0o755,
  })
  return folder
}

it('works when pasted', async () => {
  const keyPrefix = `t${randomBytes(4).toString('hex')}`
  const runtime = await createRuntime({
    definitions: builtinDefinitions,
    redisUrl: redisUrl(),
    keyPrefix,
    logger: new KeptLog(),
  })
  const server = createServer((request, response) => void runtime.handleHttp(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const folder = standIn()
  const path = process.env['PATH'] ?? ''
  try {
    const blocks = [...readFileSync(PAGE, 'utf8').matchAll(/^```sh\n(.*?)^```$/gms)].map(
      ([, text = '']) => text,
    )
    const said: string[] = []
    for (const block of blocks) {
      const { stdout } = await promisify(execFile)(
        'sh',
        ['-e', '-c', block.replaceAll(':7400', `:${port}`)],
        {
          env: { PATH: `${path}:${folder}` },
        },
      )
      said.push(stdout)
    }
    const [created, updated, conflict, held, waited, listened, listed] = said
    expect(created).toMatch(/^HTTP\/1.1 201 Created[^]*Location: \/sessions\/note[^]*HTTP\/1.1 200 OK/)
    expect(updated).toMatch(/"outcome":"committed","applied":2[^]*"outcome":"duplicate","applied":2/)
    expect(conflict).toMatch(/^HTTP\/1.1 412 [^]*ETag: "\d+-2"[^]*"code":"version_conflict"/)
    expect(held).toMatch(/^HTTP\/1.1 304 /)
    expect(waited).toMatch(/"created":true[^]*"tags":\[[^\]]*"needsAgent"/)
    expect(listened).toMatch(
      /^retry: 1000\nid: \d+-2\nevent: sessionUpdated\ndata: [^\n]*"by":"ada"[^]*\n\n\{\}\{"deleted":true\}$/,
    )
    // This runtime has no PostgreSQL.
    expect(listed).toContain('"code":"unavailable"')
    expect(said).toHaveLength(7)
  } finally {
    server.close()
    await runtime.close()
    server.closeAllConnections()
    rmSync(folder, { recursive: true, force: true })
  }
}, 60_000)
