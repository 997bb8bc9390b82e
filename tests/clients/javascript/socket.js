// A graphql-ws client that gets a new token when the old one has expired, and resumes each of its subscriptions.
import { createClient } from 'graphql-ws'
import { address, currentToken } from './yours.js'

const cursors = {}
const keep = (id, cursor) => {
  delete cursors[id] // so that the newest stand last
  cursors[id] = cursor
  for (const old of Object.keys(cursors).slice(0, -500)) delete cursors[old] // of components long gone
}
const remember = ({ type, id, payload }) => {
  if (type === 'next' && payload.extensions?.cursor) keep(id, payload.extensions.cursor)
  if (type === 'ping') Object.entries(payload?.cursors ?? {}).forEach((entry) => keep(...entry))
  if (type === 'complete' || type === 'error') delete cursors[id]
}
// Another token helps where the old one has expired, but not where it was revoked, or where the origin is refused.
const mayRetry = ({ code, reason }) => code !== 4403 || reason.startsWith('token-expired')

export const client = createClient({
  url: address.replace(/^http/, 'ws'),
  // Asked anew on every connect.
  connectionParams: async () => ({ authorization: `Bearer ${await currentToken()}`, resumeFrom: cursors }),
  on: { message: remember },
  shouldRetry: mayRetry,
  retryAttempts: Infinity,
})
