"""Each stream plays the steps that the settings give it: a list of runs, the last of which is played for ever."""

import os
import time
from pathlib import Path

import requests

from connectors.sdk import Again, Cursor, Delete, Note, Partial, Progress, Put, stream
from core.model import errors


def play(context, cursor):
    script = context.settings.get("script", {}).get(context.stream, [[]])
    mark = Path(f"{context.stream}.runs")
    number = int(mark.read_text()) if mark.exists() else 0
    mark.write_text(str(number + 1))
    context.log.info("cursor=%s password=%s", cursor, context.settings.get("password"))
    for step in script[min(number, len(script) - 1)]:
        yield from act(context, *step)


def act(context, what, *rest):
    if what == "row":
        yield rest[0]
    elif what == "put":
        yield Put(**rest[0])
    elif what == "delete":
        yield Delete(type="thing", key=rest[0])
    elif what == "cursor":
        yield Cursor(rest[0], **(rest[1] if rest[1:] else {}))
    elif what == "note":
        yield Note(rest[0], "warning")
    elif what == "progress":
        yield Progress(*rest)
    elif what == "again":
        yield Again(rest[0])
    elif what == "bad":
        yield errors.BadRecord(rest[0])
    elif what == "partial":
        yield Partial(errors.Offline(rest[0]), *rest[1:])
    elif what == "pause":
        context.pause(rest[0])
    elif what == "wait_for":
        while not Path(rest[0]).exists() and not context.pause(0.02):
            pass
    elif what == "for whom":
        yield {"id": "for whom", "name": "the owner" if context.is_for_owner else "the core"}
    elif what == "touch":
        Path(rest[0]).write_text(str(os.getpid()))
    elif what == "yield":
        yield rest[0]
    elif what == "raise":
        raise getattr(errors, rest[0])(rest[1], **(rest[2] if rest[2:] else {}))
    elif what == "break":
        raise KeyError(rest[0])
    elif what == "timeout":
        raise requests.ReadTimeout("slow")
    elif what == "stuck":
        time.sleep(60)
    elif what == "json":
        answer = requests.Response()
        answer._content, answer.status_code = b"<html>", 200
        answer.json()
    else:
        raise AssertionError(what)


@stream("first")
def first(context, cursor):
    yield from play(context, cursor)


@stream("second", every="2h")
def second(context, cursor):
    yield from play(context, cursor)


@stream("aside", parallel=True)
def aside(context, cursor):
    yield from play(context, cursor)
