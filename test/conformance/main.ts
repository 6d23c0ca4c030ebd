/** `npm run conformance -- ws://host:port/ws`: whether a server keeps the rules of docs/protocol.md. */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { PROTOCOL_VERSION } from '../../transport/protocol/messages.ts'
import { Peer } from './peer.ts'
import { allCases, runCases } from './suite.ts'
import type { Verdict } from './suite.ts'

const EXIT_BROKEN = 1
const EXIT_USAGE = 2

const USAGE = `Usage: npm run conformance -- <url> [--only <text>] [--json <file>] [--header 'Name: value'] [--list]

Tries the rules of docs/protocol.md on the server at this address, e.g. ws://127.0.0.1:7400/ws. It must serve the definitions
that every server ships (document, checkout, match, ticket) and have the default limits. Sessions with fresh ids are made and
deleted again. Ends with 0 if all rules hold, with 1 if not, and with 2 if nothing could be tried.

  --only <text>    only the cases with this in their name
  --json <file>    writes a report
  --header <line>  sent with each handshake, e.g. for authentication; may be given several times
  --list           names the cases and tries none`

const say = (line: string): void => void process.stdout.write(`${line}\n`)

function refuse(reason: string): never {
  process.stderr.write(`conformance: ${reason}\n`)
  process.exit(EXIT_USAGE)
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        only: { type: 'string', default: '' },
        json: { type: 'string' },
        header: { type: 'string', multiple: true, default: [] },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    return refuse(`${error instanceof Error ? error.message : String(error)} (--help tells what there is)`)
  }
}

function headersOf(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines.map((line): [string, string] => {
      const [, name, value] = /^([\w-]+):\s*(.*)$/.exec(line) ?? []
      if (name === undefined || value === undefined) refuse(`"${line}" is no header: write 'Name: value'`)
      return [name, value]
    }),
  )
}

function addressOf(given: readonly string[]): string {
  const [url] = given
  if (url === undefined || given.length > 1)
    refuse(`give one address, as ws://127.0.0.1:7400/ws (--help tells more)`)
  if (!URL.canParse(url) || !/^wss?:$/.test(new URL(url).protocol))
    refuse(`"${url}" is no WebSocket address: write it as ws://127.0.0.1:7400/ws`)
  return url
}

function line({ name, rule, ms, broken }: Verdict): string {
  const head = `${broken === null ? 'ok    ' : 'BROKEN'} ${name.padEnd(24)} ${rule}`
  return broken === null ? head : `${head}\n       ${' '.repeat(24)} → ${broken} (${ms} ms)`
}

async function main(): Promise<number> {
  const { values, positionals } = readArguments()
  if (values.help) {
    say(USAGE)
    return 0
  }
  const cases = allCases.filter(({ name }) => name.includes(values.only))
  if (cases.length === 0) refuse(`no case has "${values.only}" in its name; --list names them`)
  if (values.list) {
    for (const { name, rule } of cases) say(`${name.padEnd(24)} ${rule}`)
    return 0
  }
  const url = addressOf(positionals)
  const options = { headers: headersOf(values.header) }
  try {
    const peer = await Peer.open(url, options)
    peer.socket.terminate()
  } catch (error) {
    const reason =
      error instanceof Error ? error.message || (error as NodeJS.ErrnoException).code : String(error)
    refuse(`no connection to ${url}: ${reason ?? ''}. Is a server running there? \`npm start\` starts one.`)
  }
  const began = Date.now()
  const verdicts = await runCases(url, cases, (verdict) => say(line(verdict)), options)
  const broken = verdicts.filter((verdict) => verdict.broken !== null)
  const seconds = (Date.now() - began) / 1000
  say(
    `${verdicts.length - broken.length} of ${verdicts.length} rules hold at ${url} (protocol version ${PROTOCOL_VERSION}, ${seconds.toFixed(1)} s)` +
      (broken.length === 0 ? '.' : `; broken: ${broken.map(({ name }) => name).join(', ')}.`),
  )
  if (values.json !== undefined) {
    const report = { url, protocolVersion: PROTOCOL_VERSION, seconds, cases: verdicts }
    writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
  }
  return broken.length === 0 ? 0 : EXIT_BROKEN
}

process.exitCode = await main()
