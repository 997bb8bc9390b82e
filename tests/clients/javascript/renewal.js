// A fresh token over the same socket, before the old one expires: nothing is interrupted. Should it fail, the socket is
// closed when the token expires, and the client comes back with another one as it would have anyway.
import { client } from './socket.js'
import { currentToken } from './yours.js'

const LONGEST = 2 ** 31 - 1 // what a timer can wait, in ms: some 24 days
let timer

// Where four fifths of the time are gone. Not at once, however wrong this machine's clock may be.
const renewBefore = (expiresAt) => {
  clearTimeout(timer)
  const left = Date.parse(expiresAt) - Date.now()
  timer = setTimeout(() => renew().catch(() => {}), Math.min(Math.max(left * 0.8, 2_000), LONGEST))
}

const renew = async () => {
  const query = 'mutation Renew($token: String!) { renewAuthorization(token: $token) { expiresAt } }'
  const next = ({ data }) => data && renewBefore(data.renewAuthorization.expiresAt)
  client.subscribe({ query, variables: { token: await currentToken() } }, { next, error() {}, complete() {} })
}

client.on('connected', (_, { expiresAt }) => renewBefore(expiresAt))
client.on('closed', () => clearTimeout(timer))
