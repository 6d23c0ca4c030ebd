/** Times that every store keeps to. Those that only the commit knows stand in `lua/commit.lua`. */

/** A process that died leaves its partitions to others after this. */
export const SWEEP_LEASE_MS = 1500
/** Nobody has looked after a partition for so long: it was down. */
export const DOWNTIME_MS = 10_000
/** The process that committed it delivers mail at once; what is older has lost its process. */
export const MAIL_WAITS_MS = 1500
/** A record outlives its session by this, so that the sweep still finds it. */
export const KEY_TTL_MARGIN_MS = 600_000
/** Who has written a session is remembered for so long: nobody sends a commit again after that. */
export const WRITER_MS = 600_000
/** A process that runs promise actors of a session has a lease for so long; `lua/commit.lua` makes it. */
export const LEASE_MS = 15_000
/** After a time in which Redis could not be reached, processes have so long to renew their leases on members before others remove these. */
export const PRESENCE_GRACE_MS = 5000
/** What other processes have said of themselves is believed for so long. */
export const TOLD_MS = 15_000
