/** The code of docs/guide/testing.md is that of test/docs/guide/, which is compiled and run. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

function read(...path: string[]): string {
  return readFileSync(join(import.meta.dirname, ...path), 'utf8')
}

it('all code of the page stands in the files, in order, and all of the files on the page', () => {
  const page = read('..', '..', 'docs', 'guide', 'testing.md')
  const blocks = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = '']) => code)
  const [order, ...tests] = blocks.map((code) => code.replace(/^\/\/ \S+\n/, ''))
  expect(order).toBe(read('guide', 'order.ts'))
  const statements = (code: string): string[] => code.split(/\n(?=it\()/).map((each) => each.trim())
  expect(tests.flatMap(statements)).toEqual(statements(read('guide', 'order.test.ts')))
})
