// A GraphQL subscriptions server as the documentation of graphql-ws has it: no store, no tokens.
import { once } from 'node:events'
import { createServer } from 'node:http'

import { buildSchema, graphql } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'

const schema = buildSchema(`
  enum Status { ONLINE OFFLINE }
  input DeviceStatusInput { deviceId: ID! status: Status! }
  type DeviceStatusEvent { deviceId: ID! status: Status! previousStatus: Status lastSeen: String! timestamp: String! }
  type PublishResult { changed: Int! }
  type Query { ok: Boolean! }
  type Mutation {
    publishDeviceStatus(input: DeviceStatusInput!): PublishResult!
    publishDeviceStatuses(inputs: [DeviceStatusInput!]!): PublishResult!
  }
  type Subscription { deviceStatus(deviceIds: [ID!]): DeviceStatusEvent! }
`)

const known = new Map()
const listeners = new Set()

function publish(inputs) {
  let changed = 0
  for (const { deviceId, status } of inputs) {
    const previousStatus = known.get(deviceId) ?? null
    if (previousStatus === status) continue
    known.set(deviceId, status)
    changed += 1
    const timestamp = new Date().toISOString()
    const event = { deviceId, status, previousStatus, lastSeen: timestamp, timestamp }
    for (const listener of listeners) listener(event)
  }
  return { changed }
}

async function* deviceStatus({ deviceIds }) {
  const queue = []
  let wake = () => {}
  const listener = (event) => {
    if (deviceIds && !deviceIds.includes(event.deviceId)) return
    queue.push(event)
    wake()
  }
  listeners.add(listener)
  try {
    while (true) {
      while (queue.length) yield { deviceStatus: queue.shift() }
      await new Promise((resolve) => (wake = resolve))
    }
  } finally {
    listeners.delete(listener)
  }
}

const roots = {
  query: { ok: true },
  mutation: {
    publishDeviceStatus: ({ input }) => publish([input]),
    publishDeviceStatuses: ({ inputs }) => publish(inputs),
  },
  subscription: { deviceStatus },
}

const server = createServer(async (request, response) => {
  const parts = []
  for await (const part of request) parts.push(part)
  const { query, variables } = JSON.parse(Buffer.concat(parts))
  const answer = JSON.stringify(
    await graphql({ schema, source: query, variableValues: variables, rootValue: roots.mutation }),
  )
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) })
  response.end(answer)
})
useServer({ schema, roots }, new WebSocketServer({ server, path: '/graphql' }))
server.listen(0, '127.0.0.1')
await once(server, 'listening')
console.log(`listening on http://127.0.0.1:${server.address().port}`)
