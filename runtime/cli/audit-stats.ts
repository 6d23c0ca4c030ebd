/** `audit stats`: what sessions do, how long they take, and where they end. */
import { ask, askFunnel, questionNames, titleOf } from '../../persistence/audit/questions.ts'
import type { Answer, QuestionName, StatsQuestion } from '../../persistence/audit/questions.ts'
import { withSnapshot } from '../../persistence/audit/snapshot.ts'
import { EXIT_WHOLE, numberOf, spanOf, textOf, timeOf, Unusable } from './audit-command.ts'
import type { Asked, AuditCommand } from './audit-command.ts'
import { say, table } from './audit-output.ts'

const names = [...questionNames, 'funnel']

export const statsCommand: AuditCommand = {
  usage: `stats [${names.join('|')}] [--machine NAME] [--since TIME] [--per minute|hour|day] [--stuck-after SPAN] [--states A,B,C] [--limit N] [--json]`,
  options: {
    machine: { type: 'string' },
    since: { type: 'string' },
    per: { type: 'string' },
    'stuck-after': { type: 'string' },
    states: { type: 'string' },
    limit: { type: 'string' },
    json: { type: 'boolean' },
  },
  positionals: { least: 0, most: 1, what: '' },
  run: runStats,
}

const HOUR_MS = 3_600_000

async function runStats({ database, values, positionals: [name] }: Asked): Promise<number> {
  if (name !== undefined && !names.includes(name))
    throw new Unusable(`there is no question "${name}"; there are ${names.join(', ')}`)
  const per = textOf(values, 'per') ?? 'minute'
  if (per !== 'minute' && per !== 'hour' && per !== 'day')
    throw new Unusable(`--per: "${per}" is not known; say minute, hour or day`)
  const about: StatsQuestion = {
    machine: textOf(values, 'machine'),
    since: timeOf(values, 'since'),
    per,
    stuckAfterMs: spanOf(values, 'stuck-after') ?? HOUR_MS,
    limit: numberOf(values, 'limit', 1) ?? 20,
  }
  const states = statesOf(textOf(values, 'states'))
  if (name === 'funnel' && (states.length === 0 || about.machine === undefined))
    throw new Unusable(
      'a funnel is of a machine and its states: stats funnel --machine order --states cart,payment,paid',
    )
  await withSnapshot(database, async (snapshot) => {
    const isJson = values['json'] === true
    for (const each of questionNames)
      if (name === undefined || name === each)
        await tell(each, titleOf(each), await ask(snapshot, each, about), isJson)
    const { machine } = about
    if (machine !== undefined && states.length > 0 && (name === undefined || name === 'funnel')) {
      const steps = await askFunnel(snapshot, machine, states, about.since)
      await tell('funnel', `How far sessions of ${machine} came`, withShares(steps), isJson)
    }
  })
  return EXIT_WHOLE
}

async function tell(
  name: QuestionName | 'funnel',
  title: string,
  answers: readonly Answer[],
  isJson: boolean,
): Promise<void> {
  if (isJson) {
    await say(JSON.stringify({ question: name, answers }))
    return
  }
  await say(`${title}:`)
  const heads = Object.keys(answers[0] ?? {})
  if (heads.length === 0) await say('  nothing\n')
  else
    await say(
      `${table(
        heads,
        answers.map((answer) => heads.map((head) => answer[head] ?? null)),
      )}\n`,
    )
}

function withShares(steps: readonly { step: number; state: string; sessions: number }[]): Answer[] {
  const first = steps[0]?.sessions ?? 0
  return steps.map((step, index) => {
    const before = steps[index - 1]?.sessions ?? first
    const share = (of: number): string => (of === 0 ? '-' : `${((100 * step.sessions) / of).toFixed(1)} %`)
    return { ...step, of_first: share(first), of_before: share(before) }
  })
}

/** `a,b,{"c":"d"}`: commas within braces belong to a state. @throws Unusable */
function statesOf(text: string | undefined): string[] {
  const states: string[] = []
  let depth = 0
  let state = ''
  for (const letter of text ?? '') {
    if (letter === '{') depth++
    if (letter === '}') depth--
    if (letter === ',' && depth === 0) {
      states.push(state)
      state = ''
    } else state += letter
  }
  states.push(state)
  const named = states.map((each) => each.trim()).filter((each) => each !== '')
  for (const each of named) {
    if (!each.startsWith('{')) continue
    try {
      JSON.parse(each)
    } catch {
      throw new Unusable(
        `--states: ${each} is neither the name of a state nor JSON such as {"paid":"packing"}`,
      )
    }
  }
  return named
}
