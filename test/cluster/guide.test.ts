/** The code of the guide does what the guide says. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const PROJECT = join(import.meta.dirname, '..', '..')

it('the test in docs/guide/testing.md passes', () => {
  const page = readFileSync(join(PROJECT, 'docs/guide/testing.md'), 'utf8')
  const [, code] = /```js\n([^]*?)```/.exec(page) ?? []
  // Below the project, so that it finds the package.
  const folder = join(PROJECT, '.troupe', `guide-${process.pid}`)
  mkdirSync(folder, { recursive: true })
  try {
    writeFileSync(join(folder, 'order.test.mjs'), code ?? '')
    const { status, stdout } = spawnSync(process.execPath, ['--test', 'order.test.mjs'], {
      cwd: folder,
      encoding: 'utf8',
    })
    expect(status, stdout).toBe(0)
    expect(stdout).toContain('# pass 3')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
