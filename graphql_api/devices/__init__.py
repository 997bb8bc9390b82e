"""The domain: what a device's status is, how it is recorded, and who hears of it.

Knows no GraphQL and no sockets.
"""
