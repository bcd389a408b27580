"""Commands that a command names as the next one: over the same Me, so that they can be copied."""

from __future__ import annotations

from pathlib import Path

import click

from core.model import commands


def typed(words: str = "", *, me: Path | None = None) -> str:
    """The command line of these words, with --me and --config where the one that is answered has them.

    With `me` it is over that one, whether it was said or not.
    """
    context = click.get_current_context(silent=True)
    said = {} if context is None else {**context.find_root().params, **_given(context)}
    return commands.typed(words, me=me or _absolute(said.get("me")), config=_absolute(said.get("config_dir")))


def see(words: str) -> str:
    """The cure that is another command's answer."""
    return f"See: {typed(words)}"


def _given(context: click.Context) -> dict[str, object]:
    return {name: value for name, value in context.params.items() if value is not None}


def _absolute(place: object) -> Path | None:
    """A relative path holds in the folder that it was said in, a hint may be copied in another."""
    return place.absolute() if isinstance(place, Path) else None
