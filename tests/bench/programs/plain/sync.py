"""A hundred things that never change."""

from connectors.sdk import stream


@stream("thing", every="1d")
def things(context, cursor):
    for number in range(100):
        yield {"id": str(number), "title": f"Thing {number}"}
