"""The passphrase of a backup: typed where nobody sees it, or read from a file; never from the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from core.model.errors import BadRequest, KeyMissing, NotFound

FILE_BYTES_MAX = 4096
STDIN = "-"

passphrase_file = click.option(
    "--passphrase-file", "source", metavar="FILE", help="Read the passphrase from a file's first line; - is stdin."
)


def new_passphrase(source: str | None, *, is_wanted: bool) -> str | None:
    """The passphrase to seal with, typed twice where it is typed; None where secrets are to stay out."""
    if not is_wanted:
        return None
    if source is not None:
        return read_passphrase(source)
    _need_somebody()
    click.echo(
        "The backup holds what opens your accounts, sealed under a passphrase. Whoever loses it signs in anew.",
        err=True,
    )
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt="Once more", err=True))


def known_passphrase(source: str | None, attempt: int) -> str | None:
    """The passphrase that something was sealed under; an empty one that is typed means that it is lost."""
    if source is not None:
        if attempt:
            raise KeyMissing(
                "The passphrase is not the one of this backup.",
                remedy="Look for the right one, or add --without-secrets.",
            )
        return read_passphrase(source)
    _need_somebody()
    if attempt:
        click.echo("That is not the passphrase of this backup.", err=True)
    typed = click.prompt("Passphrase (empty if it is lost)", default="", show_default=False, hide_input=True, err=True)
    return str(typed) or None


def read_passphrase(source: str) -> str:
    """The first line of a file, or of standard input."""
    try:
        if source == STDIN:
            text = sys.stdin.buffer.readline(FILE_BYTES_MAX)
        else:
            with Path(source).open("rb") as file:
                text = file.readline(FILE_BYTES_MAX)
        return text.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as err:
        raise BadRequest("The passphrase is not text in UTF-8.", remedy="Save it anew as plain text.") from err
    except OSError as err:
        raise NotFound(f"{source} cannot be read: {err.strerror}.", remedy="Name a file with the passphrase.") from err


def _need_somebody() -> None:
    if not sys.stdin.isatty():
        raise BadRequest(
            "A passphrase is asked for, and nobody is there to type it.",
            remedy="Add --passphrase-file FILE (- is standard input), or --without-secrets.",
        )
