"""`search`: find records of all services by their words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from core.cli import exits
from core.cli.options import as_json, placed, read_config
from core.cli.running_core import RunningCore, connect
from core.cli.screen import moment, plain, say, show_json, warn
from core.model.errors import BadRequest, LockerError, NotFound
from core.store import Reader, parse_query

HITS_MAX = 200
HITS = 10


@click.command(context_settings={"ignore_unknown_options": True}, short_help="Find records of all services by WORDS.")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
@placed
@click.option("--service", "services", multiple=True, metavar="ID", help="Only this service; may be given again.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only this type; may be given again.")
@click.option("--as-of", "as_of", metavar="TIME", help="As all was known then: a day, or an RFC 3339 time.")
@click.option("--limit", type=click.IntRange(1, HITS_MAX), default=HITS, metavar="N", show_default=True,
              help="How many records to show.")  # fmt: skip
@as_json
def search(
    words: tuple[str, ...],
    me: Path | None,
    config_dir: Path | None,
    services: tuple[str, ...],
    types: tuple[str, ...],
    as_of: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """Find records by WORDS: all of them, 'a "phrase"', begin*, -without, one OR other, title:word."""
    for word in words:
        if word.startswith("--"):  # A word left out has one hyphen; two are an option that is none.
            raise click.NoSuchOption(word)
    question = " ".join(words)
    if parse_query(question).is_empty:
        raise BadRequest("A search needs a word to look for; -word only leaves out.", remedy="Add one to be found.")
    config = read_config(me, config_dir)
    core = connect(config.me)
    if services or types:
        _check_known(core, config.me, services, () if as_of else types)
    asked = {"q": question, "services": ",".join(services), "types": ",".join(types), "as_of": as_of}
    found = core.get(f"/search?{urlencode({name: said for name, said in asked.items() if said} | {'limit': limit})}")
    if as_json:
        show_json(found)
    else:
        _show(core, found)
    return exits.DONE


def _check_known(core: RunningCore, me: Path, services: Sequence[str], types: Sequence[str]) -> None:
    """Raise NotFound, with those there are, for a service that is not installed or a type that none has."""
    installed = core.get("/map")["installed"]
    for name in services:
        if name not in installed:
            raise NotFound(f"There is no service {name[:64]!r}.", remedy=_those_there_are(installed))
    known = {name for service in installed.values() for name in service["types"]}
    if known.issuperset(types):
        return
    try:
        for service_id in installed:
            with Reader.open(me / service_id, types={}) as reader:
                known.update(reader.counts())
    except LockerError:
        return  # What cannot be read may have it.
    for name in types:
        if name not in known:
            raise NotFound(f"No service has a type {name[:64]!r}.", remedy=_those_there_are(known))


def _those_there_are(names: Iterable[str]) -> str:
    return f"There are: {', '.join(sorted(names)) or 'none'}."


def _show(core: RunningCore, found: Mapping[str, Any]) -> None:
    for skipped in found["skipped"]:
        warn(plain(f"{skipped['service']} could not be searched: {skipped['reason']}."))
    for hit in found["hits"]:
        say(_marked(hit["title"]))
        say(plain(f"  {hit['service']} · {hit['type']} · {moment(hit['at'])}"))
        if hit["snippet"]["text"]:
            say(f"  {_marked(hit['snippet'])}")
        say(plain(f"  {core.page('/services' + hit['href'].removeprefix('/Me'))}"))
        say("")
    say(_total(found["count"], shown=len(found["hits"]), is_capped=found["is_capped"]))


def _marked(text: Mapping[str, Any]) -> str:
    """The text with what was looked for in bold, where a terminal shows it."""
    pieces: list[str] = []
    place = 0
    marks: Sequence[Sequence[int]] = text["marks"]
    for start, end in marks:
        pieces += [plain(text["text"][place:start]), click.style(plain(text["text"][start:end]), bold=True)]
        place = end
    return "".join((*pieces, plain(text["text"][place:])))


def _total(count: int, *, shown: int, is_capped: bool) -> str:
    """How much was found.

    >>> _total(1, shown=1, is_capped=False), _total(500, shown=10, is_capped=True), _total(0, shown=0, is_capped=False)
    ('1 record.', 'More than 500 records; the best 10 are shown.', 'Nothing found.')
    """
    if count == 0 and not is_capped:
        return "Nothing found."
    said = f"{'More than ' if is_capped else ''}{count:,} record{'' if count == 1 else 's'}"
    return f"{said}." if shown == count and not is_capped else f"{said}; the best {shown} are shown."


COMMANDS = {"search": search}
