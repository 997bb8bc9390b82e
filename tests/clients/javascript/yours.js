// What the recipes take to be yours, as the tests have it: they speak to it by lines of JSON.
import { createInterface } from 'node:readline'
import { WebSocket } from 'ws'

const tell = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)
const waiting = []
const lines = createInterface({ input: process.stdin })
lines.on('line', (line) => waiting.shift()(JSON.parse(line).token))
lines.on('close', () => process.exit())

// Node has one from 22 on; here it also tells how a socket ended, and that a token was renewed on it.
globalThis.WebSocket = class extends WebSocket {
  constructor(...options) {
    super(...options)
    this.addEventListener('close', ({ code, reason }) => tell({ closed: [code, reason] }))
    this.addEventListener('message', ({ data }) => data.includes('"renewAuthorization":{') && tell({ renewed: true }))
  }
}

export const address = process.env.ADDRESS

export const currentToken = () =>
  new Promise((resolve) => {
    waiting.push(resolve)
    tell({ asks: 'token' })
  })

export const onChange = (event) => tell({ event })

export const onDevices = (devices, { reset, complete }) => {
  const statuses = Object.fromEntries([...devices.values()].map(({ deviceId, status }) => [deviceId, status]))
  tell({ statuses, reset, complete })
}

export const onEnd = (error) => tell({ ended: error ? String(error.reason ?? error.message ?? error) : 'completed' })
