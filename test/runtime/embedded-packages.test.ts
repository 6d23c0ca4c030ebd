import { expect, it } from 'vitest'
import { missingDependencies } from '../../runtime/embedded/debian-packages.ts'

it('the libraries that the system lacks are read from what apt would install', () => {
  const printed = [
    `'http://deb.example/pool/main/j/jemalloc/libjemalloc2_5.3.0-1_amd64.deb' libjemalloc2_5.3.0-1_amd64.deb 275000 MD5Sum:0f56`,
    `'http://deb.example/pool/r/redis-tools_7.0.15-1%7edeb12u10_amd64.deb' redis-tools_5%3a7.0.15-1~deb12u10_amd64.deb 991988 `,
    `'http://deb.example/pool/l/libstdc++6_12.2.0-14_amd64.deb' libstdc++6_12.2.0-14_amd64.deb 613000 SHA256:00`,
    '',
  ].join('\n')
  expect(missingDependencies(printed, ['redis-server', 'redis-tools'])).toEqual([
    'libjemalloc2',
    'libstdc++6',
  ])
  expect(missingDependencies('E: Unable to locate package redis-server\n', ['redis-server'])).toEqual([])
})
