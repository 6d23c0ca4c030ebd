/**
 * The process that drives load. Alone: `node --import tsx bench/load/driver.ts --url ws://127.0.0.1:7400/ws` with
 * `--clients --sessions --mix updateSession=1,getSession=2 --depth --rate --subscribe --seconds --warm-up-seconds`.
 * As a child with a channel it takes a configuration as its first message and answers with the report.
 */
import { parseArgs } from 'node:util'
import { Load } from './load.ts'
import { defaultConfig } from './plan.ts'
import type { LoadConfig } from './plan.ts'
import { describeLoad } from './report.ts'
import type { LoadReport } from './report.ts'
import { methods } from './requests.ts'
import type { Method } from './requests.ts'
import { writeResults } from '../support/results.ts'

export type DriverMessage =
  | { readonly kind: 'measuring' }
  | { readonly kind: 'measured' }
  | { readonly kind: 'report'; readonly report: LoadReport }
  | { readonly kind: 'failed'; readonly reason: string }

if (process.send === undefined) await runAlone()
else process.once('message', (config) => void runAsChild(config as LoadConfig))

async function runAsChild(config: LoadConfig): Promise<void> {
  try {
    const load = new Load(config)
    const report = await load.run(
      () => tell({ kind: 'measuring' }),
      () => tell({ kind: 'measured' }),
    )
    tell({ kind: 'report', report })
  } catch (error) {
    tell({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) })
  }
  process.disconnect()
}

function tell(message: DriverMessage): void {
  process.send?.(message)
}

async function runAlone(): Promise<void> {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      machine: { type: 'string', default: defaultConfig.machine },
      clients: { type: 'string', default: String(defaultConfig.clients) },
      sessions: { type: 'string', default: String(defaultConfig.sessions) },
      mix: { type: 'string', default: 'updateSession=1' },
      depth: { type: 'string', default: '1' },
      rate: { type: 'string' },
      subscribe: { type: 'boolean', default: false },
      seconds: { type: 'string', default: '10' },
      'warm-up-seconds': { type: 'string', default: '2' },
    },
  })
  if (values.url === undefined) throw new Error('--url is missing: give the ws://… address of the server')
  const report = await new Load({
    url: values.url,
    machine: values.machine,
    run: `load-${Date.now().toString(36)}`,
    clients: Number(values.clients),
    sessions: Number(values.sessions),
    mix: parseMix(values.mix),
    depth: Number(values.depth),
    rate: values.rate === undefined ? null : Number(values.rate),
    subscribe: values.subscribe,
    warmUpMs: Number(values['warm-up-seconds']) * 1000,
    measureMs: Number(values.seconds) * 1000,
  }).run(
    () => undefined,
    () => undefined,
  )
  console.log(describeLoad(report))
  console.log(`written to ${await writeResults('load', report)}`)
}

/** `updateSession=1,getSession=2` as shares. */
function parseMix(text: string): LoadConfig['mix'] {
  const mix: Partial<Record<Method, number>> = {}
  for (const part of text.split(',')) {
    const [name, share] = part.split('=')
    const method = methods.find((each) => each === name)
    if (method === undefined) throw new Error(`--mix: there is no method ${name}; take ${methods.join(', ')}`)
    mix[method] = Number(share)
  }
  return mix
}
