import { expect, it, vi } from 'vitest'
import { createMachine } from 'xstate'
import { defineSession } from '../../actors/define-session.ts'
import type { AuditPolicy } from '../../actors/define-session.ts'
import { Kernel } from '../../actors/kernel.ts'
import { auditOfCreation, auditOfEvent } from '../../runtime/host/audit-text.ts'

const machine = createMachine({ context: { n: 1 }, initial: 'a', states: { a: { on: { GO: 'b' } }, b: {} } })

function texts(audit: AuditPolicy) {
  const definition = { ...defineSession({ name: 'm', version: 3, machine }), audit }
  const warn = vi.fn()
  const about = { definition, node: 'n', principal: { id: 'ann' }, key: 'k', warn }
  const kernel = new Kernel(definition)
  const created = kernel.initial(7)
  const went = kernel.transition(created.live, { type: 'GO' })
  if (went === null) throw new Error('it goes')
  return {
    warn,
    creation: auditOfCreation(about, 7, created),
    event: auditOfEvent(about, '{"type":"GO","to":"b"}', went),
  }
}

it('tells who did what from where, and nothing more where nothing is kept out', () => {
  const { creation, event, warn } = texts({})
  const who = '"machine":"m","machineVersion":3,"node":"n","principal":"ann","key":"k"'
  expect(creation.audit).toBe(`{${who},"input":7}`)
  expect(event.audit).toBe(`{${who},"event":{"type":"GO","to":"b"},"from":"a"}`)
  for (const { auditedState } of [creation, event]) expect(auditedState).toBeUndefined()
  expect(warn).not.toHaveBeenCalled()
})

it('says what is kept out, and leaves the state of the session as it is', () => {
  const { creation, event } = texts({ input: 'none', context: 'none' })
  expect(JSON.parse(creation.audit)).toEqual({
    ...{ machine: 'm', machineVersion: 3, node: 'n', principal: 'ann', key: 'k' },
    redacted: ['input', 'context'],
  })
  expect(JSON.parse(event.audit)).toMatchObject({ redacted: ['context'] })
  expect(JSON.parse(event.state)).toMatchObject({ context: { n: 1 } })
  expect(JSON.parse(event.auditedState ?? '')).toEqual({
    status: 'active',
    value: 'b',
    tags: [],
    accepts: [],
  })
})

it('warns of a function that fails', () => {
  const { warn } = texts({
    context: () => {
      throw new Error('no such thing')
    },
  })
  expect(warn).toHaveBeenLastCalledWith(
    { machine: 'm', version: 3, part: 'context', reason: 'no such thing' },
    expect.stringContaining('the audit gets nothing of that part'),
  )
})
