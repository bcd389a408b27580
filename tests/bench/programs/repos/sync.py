"""Nothing to pull: the bench has filled the store."""

from connectors.sdk import stream


@stream("repo", every="365d")
def repos(context, cursor):
    yield from ()
