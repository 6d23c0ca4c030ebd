/** What an operation costs, beside others that do the same, in the same run. */
import { parseArgs } from 'node:util'
import { Bench } from 'tinybench'
import { table } from '../load/report.ts'
import { median, writeResults } from './results.ts'

export interface Task {
  readonly name: string
  /** How many operations one call makes; the figures are for one operation. Default 1. */
  readonly operations?: number
  readonly run: () => unknown
}

const ROUNDS = 5

/**
 * Runs all tasks in each of several rounds and prints medians and ratios. The first task is the baseline.
 * @param name of the results file
 */
export async function compareCosts(name: string, question: string, tasks: readonly Task[]): Promise<void> {
  const timeMs = isQuick() ? 50 : 500
  const medians = tasks.map((): number[] => [])
  for (let round = 0; round < ROUNDS; round++) {
    const bench = new Bench({ time: timeMs, warmupTime: round === 0 ? timeMs : timeMs / 10 })
    for (const task of tasks) bench.add(task.name, task.run)
    await bench.run()
    for (const [index, { name, operations = 1 }] of tasks.entries()) {
      const result = bench.getTask(name)?.result
      if (result?.state !== 'completed') {
        const reason = result?.state === 'errored' ? result.error.message : String(result?.state)
        throw new Error(`"${name}" did not complete: ${reason}`)
      }
      medians[index]?.push((result.latency.p50 * 1000) / operations)
    }
  }
  const rows = tasks.map((task, index) => {
    const ratios = (medians[index] ?? []).map((us, round) => us / (medians[0]?.[round] ?? NaN))
    return {
      name: task.name,
      us: median(medians[index] ?? []),
      ratio: median(ratios),
      rounds: medians[index],
    }
  })
  console.log(`\n${question}`)
  console.log(
    table(
      ['', 'µs (median)', 'ratio', 'rounds, µs'],
      rows.map(({ name, us, ratio, rounds }) => [
        name,
        us.toFixed(2),
        ratio.toFixed(2),
        (rounds ?? []).map((each) => each.toFixed(2)).join(' '),
      ]),
    ),
  )
  console.log(`  written to ${await writeResults(name, { question, rows })}`)
}

function isQuick(): boolean {
  return parseArgs({ options: { quick: { type: 'boolean' } }, strict: false }).values.quick === true
}
