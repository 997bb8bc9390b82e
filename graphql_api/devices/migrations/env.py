"""What Alembic runs: on the connection, and in the transaction, that :func:`..migrate` hands over."""

from alembic import context

from graphql_api.devices.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
