from connectors.sdk import Cursor, Progress, stream


@stream("number")
def numbers(context, cursor):
    """Numbers from the cursor on, a page at a time."""
    count, page = context.settings.get("count", 3), context.settings.get("page", 100)
    for n in range(cursor or 0, count):
        yield {"n": n, "name": f"number {n}"}
        if (n + 1) % page == 0:
            yield Cursor(n + 1)
            yield Progress(n + 1, count)
            if context.pause(context.settings.get("pause_s", 0)):
                return
    yield Cursor(count)
