from connectors.sdk import Cursor, stream

PAGE = 20


@stream("number")
def numbers(context, cursor):
    """Numbers from the cursor on, a page at a time."""
    count = context.settings.get("count", 3)
    for n in range(cursor or 0, count):
        yield {"n": n, "name": f"number {n}"}
        if (n + 1) % PAGE == 0:
            yield Cursor(n + 1)
            if context.pause(context.settings.get("pause_s", 0)):
                return
    yield Cursor(count)
