/**
 * What do a request's way in and a reply's way out cost, beside plain JSON? Replies are taken to bytes: text that was
 * only put together is not written out by the engine until someone needs it, and would seem to cost nothing.
 */
import { encodeView } from '../actors/view.ts'
import { parseRecord } from '../actors/record-text.ts'
import { parseFrame, resultText } from '../transport/protocol/codec.ts'
import { methods } from '../transport/protocol/messages.ts'
import { createBasket, nthEvent } from './machines/basket-session.ts'
import { compareCosts } from './support/cost.ts'

const { record } = createBasket()
const view: unknown = JSON.parse(encodeView(record))
const request = JSON.stringify({
  jsonrpc: '2.0',
  id: 12345678,
  method: 'updateSession',
  params: { id: record.id, event: nthEvent(3) },
})
const header = `3 2 3 - ${record.epoch} 2 n-1 basket 1 1 4 5 0 - - ;n:1:2:2:-:${record.epoch}`
const stored = `${header}\n${record.internals}\n${record.state}`
if (parseRecord(record.id, stored) === null) throw new Error('the record is of another format than is read')

await compareCosts('cost-of-a-reply', 'A reply that carries a view: what does encoding it cost?', [
  {
    name: 'by hand: JSON.stringify() of the whole reply',
    run: () => Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 12345678, result: view })),
  },
  {
    name: 'composed around the stored text',
    run: () => Buffer.from(resultText('12345678', encodeView(record))),
  },
])

await compareCosts('cost-of-a-request', 'A frame with an update: what does reading it cost?', [
  { name: 'by hand: JSON.parse(), nothing checked', run: () => JSON.parse(request) as unknown },
  {
    name: 'parseFrame(), not yet checked against the method',
    run: () => parseFrame(request, { maxBatchLength: 64 }),
  },
  {
    name: 'parseFrame() and the schema of updateSession',
    run: () => {
      const frame = parseFrame(request, { maxBatchLength: 64 })
      return frame.kind === 'request' ? methods.updateSession.params.safeParse(frame.params) : frame
    },
  },
])

await compareCosts(
  'cost-of-a-read',
  'What getSession got from Redis: what does turning it into a view cost?',
  [
    {
      name: 'by hand: JSON.parse(), JSON.stringify()',
      run: () => Buffer.from(JSON.stringify(JSON.parse(record.state))),
    },
    {
      name: 'parseRecord(), encodeView()',
      run: () => {
        const parsed = parseRecord(record.id, stored)
        return parsed === null ? null : Buffer.from(encodeView(parsed))
      },
    },
  ],
)
