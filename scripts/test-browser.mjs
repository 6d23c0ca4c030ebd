/**
 * `npm run test:browser`: the client in a headless Chromium. Two tabs, one of them over a line that is cut and stalled,
 * follow one session of a cluster and must agree in the end.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, createServer as createLine } from 'node:net'
import { join } from 'node:path'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'
import { findBrowser } from './browser.mjs'
import { prepare } from './prepare.mjs'
import { project, say } from './project.mjs'

await prepare()
const { executablePath, env } = await findBrowser()
const ends = []
const tooLong = setTimeout(() => finish(new Error('it did not end within two minutes')), 120_000)
try {
  await run()
  await finish()
} catch (error) {
  await finish(error)
}

async function run() {
  const url = await startCluster()
  const line = await startLine(Number(new URL(url).port))
  const site = await startSite()
  const browser = await chromium.launch({
    executablePath,
    env,
    args: [
      '--no-sandbox',
      '--headless',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  })
  ends.push(() => browser.close())
  say(`Chromium ${browser.version()}`)

  for (const delta of [false, true]) {
    const [a, b] = [await browser.newPage(), await browser.newPage()]
    for (const tab of [a, b]) {
      tab.on('pageerror', (error) => finish(error))
      await tab.goto(site)
    }
    await a.evaluate(([to, withDelta]) => page.open(to, withDelta), [line.url, delta])
    await b.evaluate(([to, withDelta]) => page.open(to, withDelta), [url, delta])
    await b.evaluate(() => page.create())
    for (const tab of [a, b]) {
      await tab.evaluate(() => page.follow())
      await tab.waitForFunction(() => page.phase() === 'live')
    }
    say(`two tabs have joined${delta ? ', asking for patches' : ''}`)

    // The network of one tab is away: it catches up, and what it sent meanwhile arrives once.
    line.cut(true)
    await a.waitForFunction(() => page.phase() === 'joining')
    const sending = a.evaluate(() => page.merge({ fromA: 1 }))
    for (let n = 0; n < 10; n++) await b.evaluate((value) => page.merge({ fromB: value }), n)
    line.heal()
    assert.equal(await sending, 'committed')
    await agree(a, b, { fromA: 1, fromB: 9 })
    say('a tab that was cut off has resumed')

    // Nothing comes through, and nobody says so.
    const losses = await a.evaluate(() => page.states.filter((state) => state !== 'open').length)
    line.stall()
    await b.evaluate(() => page.merge({ fromB: 'late' }))
    await a.waitForFunction(
      (before) => page.states.filter((state) => state !== 'open').length > before,
      losses,
    )
    line.heal()
    await agree(a, b, { fromA: 1, fromB: 'late' })
    say('a tab on a dead line has noticed, and resumed')

    for (const tab of [a, b]) {
      const versions = await tab.evaluate(() => page.versions)
      assert.deepEqual(
        versions,
        [...new Set(versions)].sort((x, y) => x - y),
      )
    }
    await b.evaluate(() => page.merge({ fromA: null, fromB: null }))
    await a.close()
    await b.close()
  }
  say('browser: two tabs converge over cut and dead lines')
}

async function agree(a, b, state) {
  const wanted = JSON.stringify(state)
  for (const tab of [a, b]) {
    await tab.waitForFunction((text) => {
      const now = page.view()?.context.state ?? {}
      const sorted = Object.fromEntries(Object.entries(now).sort(([x], [y]) => (x < y ? -1 : 1)))
      return JSON.stringify(sorted) === text
    }, wanted)
  }
  const [one, other] = [await a.evaluate(() => page.view()), await b.evaluate(() => page.view())]
  assert.deepEqual(one, other)
}

async function startCluster() {
  say('starting a cluster')
  const server = spawn(process.execPath, [join(project, 'dist/runtime/cli/main.js')], {
    cwd: project,
    env: { ...process.env, PORT: '0', DATA_DIR: '.troupe/test-browser', LOG_LEVEL: 'warn' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(server, 'exit')
  ends.push(async () => {
    server.kill('SIGTERM')
    await exited
  })
  let said = ''
  return new Promise((resolve, reject) => {
    server.stdout.on('data', (chunk) => {
      said += chunk
      const url = /ready at (ws:\S+)/.exec(said)?.[1]
      if (url !== undefined) resolve(url)
    })
    server.on('exit', (code) => reject(new Error(`the cluster did not start (exit code ${code})`)))
  })
}

/** The page, and the client in it as esbuild bundles it for browsers. */
async function startSite() {
  const { outputFiles } = await build({
    entryPoints: [join(project, 'test/browser/page.ts')],
    bundle: true,
    format: 'iife',
    platform: 'browser',
    write: false,
  })
  const script = outputFiles[0].text
  const site = createServer((request, response) => {
    const isScript = request.url === '/page.js'
    response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html; charset=utf-8')
    response.end(isScript ? script : '<!doctype html><title>troupe</title><script src="/page.js"></script>')
  })
  site.listen(0, '127.0.0.1')
  await once(site, 'listening')
  ends.push(() => {
    site.close()
    site.closeAllConnections()
  })
  return `http://127.0.0.1:${site.address().port}/`
}

/** A TCP line to the port that can be cut, and on which things can get lost. */
async function startLine(port) {
  const pairs = new Set()
  let isRefusing = false
  const server = createLine((here) => {
    if (isRefusing) return void here.destroy()
    const there = connect(port, '127.0.0.1')
    const pair = [here, there]
    pairs.add(pair)
    const end = () => {
      pairs.delete(pair)
      for (const socket of pair) socket.destroy()
    }
    for (const socket of pair) socket.on('error', end).on('close', end)
    here.pipe(there)
    there.pipe(here)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (refusing) => {
    isRefusing = refusing
    for (const [here] of [...pairs]) here.destroy()
  }
  ends.push(() => {
    cut(true)
    server.close()
  })
  return {
    url: `ws://127.0.0.1:${server.address().port}/ws`,
    cut,
    stall() {
      for (const [here, there] of pairs) {
        here.unpipe(there)
        there.unpipe(here)
        here.resume()
        there.resume()
      }
    },
    heal: () => (isRefusing = false),
  }
}

async function finish(error) {
  clearTimeout(tooLong)
  if (error !== undefined) {
    console.error(`troupe: ${error.stack ?? error}`)
    process.exitCode = 1
  }
  for (const end of ends.splice(0).reverse()) await Promise.resolve(end()).catch(() => undefined)
}
