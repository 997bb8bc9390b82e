// graphql-sse: each subscription is a stream of its own. The client hides the events' ids, so the cursor comes from the
// results, and goes back as the header that a browser would send.
import { createClient } from 'graphql-sse'
import { fold } from './devices.js'
import { address, currentToken, onChange, onDevices, onEnd } from './yours.js'

const cursors = new Map() // from request to cursor
const pause = () => new Promise((resolve) => setTimeout(resolve, 1_000 + Math.random() * 2_000))

const client = createClient({
  url: address,
  // Asked anew on every connect.
  headers: async (request) => ({
    authorization: `Bearer ${await currentToken()}`,
    ...(cursors.has(request) && { 'last-event-id': cursors.get(request) }),
  }),
  retryAttempts: Infinity, // counted until a result comes, which to a quiet subscription may take days
  retry: pause, // for the same reason: the default doubles each time
})

const watch = (query, take, cursor) => {
  const request = { query }
  if (cursor) cursors.set(request, cursor)
  const next = ({ data, extensions }) => {
    take(data)
    if (extensions?.cursor) cursors.set(request, extensions.cursor)
  }
  client.subscribe(request, { next, error: onEnd, complete: onEnd })
}

const devices = new Map()
const state = 'subscription { devices { reset changed { id deviceId status } removed complete } }'
watch(state, (data) => onDevices(fold(devices, data.devices), data.devices))

// Events have no cursor until the first one comes: so they go on from where a query stood.
const response = await fetch(address, {
  method: 'POST',
  headers: { authorization: `Bearer ${await currentToken()}`, 'content-type': 'application/json' },
  body: JSON.stringify({ query: '{ devices(first: 1) { cursor } }' }),
})
const events = 'subscription { deviceStatus { kind deviceId status previousStatus cursor } }'
watch(events, (data) => onChange(data.deviceStatus), (await response.json()).data.devices.cursor)
