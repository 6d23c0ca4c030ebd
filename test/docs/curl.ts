/** As much of curl as docs/guide/http.md uses, for machines that have none: -s -i -N -X -H -d --max-time. */
import { request } from 'node:http'

const { argv, stdout } = process
const headers: Record<string, string> = {}
let method: string | undefined
let body: string | undefined
let url = ''
let showsHead = false
const words = argv.slice(2)
const next = (): string => words.shift() ?? ''
while (words.length > 0) {
  const word = next()
  if (word === '-i') showsHead = true
  else if (word === '-X') method = next()
  else if (word === '-d') body = next()
  else if (word === '--max-time') setTimeout(() => process.exit(28), Number(next()) * 1000)
  else if (word === '-H') {
    const [name = '', ...value] = next().split(': ')
    headers[name] = value.join(': ')
  } else if (!word.startsWith('-')) url = word
  else if (word !== '-s' && word !== '-N') throw new Error(`no such option here: ${word}`)
}
method ??= body === undefined ? 'GET' : 'POST'
const asked = request(url, { method, headers }, (response) => {
  const { httpVersion, statusCode, statusMessage, rawHeaders } = response
  if (showsHead) {
    stdout.write(`HTTP/${httpVersion} ${statusCode ?? 0} ${statusMessage ?? ''}\r\n`)
    for (let n = 0; n < rawHeaders.length; n += 2)
      stdout.write(`${rawHeaders[n] ?? ''}: ${rawHeaders[n + 1] ?? ''}\r\n`)
    stdout.write('\r\n')
  }
  response.on('data', (chunk: Buffer) => stdout.write(chunk))
  response.on('end', () => process.exit(0))
})
asked.end(body)
