"""Device Status: live device statuses for schools over GraphQL subscriptions."""
