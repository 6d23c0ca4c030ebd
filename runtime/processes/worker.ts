/** A serving process: sessions and the connections of their clients. */
import { builtinDefinitions } from '../../actors/lifecycles/builtin.ts'
import { Registry } from '../../actors/registry.ts'
import type { AuditHealth } from '../../persistence/audit/worker.ts'
import { handleHttp } from '../../transport/http/http.ts'
import { loadDefinitions } from '../definitions/load-definitions.ts'
import { Runtime } from '../runtime.ts'
import { runChild } from './child.ts'
import { listen } from './listen.ts'
import { createWebServer } from './web-server.ts'

const AUDIT_SILENT_MS = 5000

runChild(async ({ options, files }, log) => {
  const registry = new Registry((details, message) => log.info(details, message))
  for (const definition of builtinDefinitions) registry.register(definition)
  await loadDefinitions(files, registry)
  // The audit runs in a process of its own.
  const runtime = await Runtime.start({ options: { ...options, audit: false }, registry, log })

  let audit: AuditHealth | null = null
  let heardAt = 0
  const server = createWebServer(options, (request, response) => {
    const health = async () => ({
      ...(await runtime.health()),
      audit: audit === null ? null : asOfNow(audit, performance.now() - heardAt),
      machines: registry.names(),
    })
    void runtime.handleHttp(request, response).then((isAnswered) => {
      if (!isAnswered) void handleHttp(request, response, { health })
    })
  })
  runtime.attach(server)
  try {
    await listen(server, options.port, options.host)
  } catch (error) {
    await runtime.close({ deadlineMs: 0 })
    throw error
  }
  return {
    async drain(deadlineMs) {
      server.close()
      await runtime.close({ deadlineMs })
      server.closeAllConnections()
    },
    heard(message) {
      // Also closes connections that are kept for a next request.
      if (message.type === 'stepBack') server.close()
      if (message.type !== 'audit') return
      audit = message.health
      heardAt = performance.now()
    },
  }
})

/** The audit process reports every second: what it said long ago need not be true any more. */
function asOfNow(health: AuditHealth, silentMs: number): AuditHealth {
  if (silentMs < AUDIT_SILENT_MS || health.status === 'degraded') return health
  const reason = `the audit process has not reported for ${Math.round(silentMs / 1000)} s`
  return { ...health, status: 'degraded', reason }
}
