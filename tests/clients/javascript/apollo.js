// Apollo Client over the same socket: no query knows of cursors or tokens.
import { ApolloClient, InMemoryCache, gql } from '@apollo/client'
import { GraphQLWsLink } from '@apollo/client/link/subscriptions'
import { fold } from './devices.js'
import { client as socket } from './socket.js'
import { onChange, onDevices, onEnd } from './yours.js'

const apollo = new ApolloClient({ link: new GraphQLWsLink(socket), cache: new InMemoryCache() })

// A stream of updates is no entity: folded by hand, it costs a fraction of what the cache would make of it.
const watch = (query, take) =>
  apollo.subscribe({ query, fetchPolicy: 'no-cache' }).subscribe({
    next: ({ data, error }) => (error ? onEnd(error) : take(data)),
    error: onEnd,
    complete: onEnd,
  })

watch(
  gql`
    subscription {
      deviceStatus {
        kind
        deviceId
        status
        previousStatus
        cursor
      }
    }
  `,
  ({ deviceStatus }) => onChange(deviceStatus),
)

const devices = new Map()
watch(
  gql`
    subscription {
      devices {
        reset
        changed {
          id
          deviceId
          status
        }
        removed
        complete
      }
    }
  `,
  (data) => onDevices(fold(devices, data.devices), data.devices),
)
