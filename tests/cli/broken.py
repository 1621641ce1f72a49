"""A module that cannot be imported, for a test of the command."""

1 / 0  # noqa: B018
