// graphql-ws by itself: events and state over one socket.
import { fold } from './devices.js'
import { client } from './socket.js'
import { onChange, onDevices, onEnd } from './yours.js'

const events = 'subscription { deviceStatus { kind deviceId status previousStatus cursor } }'
client.subscribe(
  { query: events },
  { next: ({ data }) => onChange(data.deviceStatus), error: onEnd, complete: onEnd },
)

const devices = new Map()
const state = 'subscription { devices { reset changed { id deviceId status } removed complete } }'
client.subscribe(
  { query: state },
  {
    next: ({ data }) => onDevices(fold(devices, data.devices), data.devices),
    error: onEnd,
    complete: onEnd,
  },
)
