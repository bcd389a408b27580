"""`backup`, `restore`: everything in Me, out into one file, and back into an empty Me."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from core.backup import Restored, back_up, take_over, take_over_command, waiting_in
from core.backup import restore as bring_back
from core.cli import exits
from core.cli.checkout import ROOT, version
from core.cli.hints import see, typed
from core.cli.mounts import mounts
from core.cli.options import as_json, placed, read_config
from core.cli.passphrases import known_passphrase, new_passphrase, passphrase_file
from core.cli.places import Weight, doubts_about
from core.cli.running_core import find
from core.cli.screen import moment, plain, say, show_json, warn
from core.model.clock import SystemClock
from core.model.errors import BadRequest, FolderUnusable, NotFound

# Each service is taken up in turn, the residents with their start.
TAKE_OVER_S_MAX = 600.0


@click.command(short_help="Save everything in Me to FILE.")
@click.argument("target", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@placed
@passphrase_file
@click.option("--without-secrets", is_flag=True, help="Leave the key and all sign-ins out.")
@as_json
def backup(
    target: Path | None,
    me: Path | None,
    config_dir: Path | None,
    source: str | None,
    without_secrets: bool,
    as_json: bool,
) -> int:
    """Save everything in Me to FILE (.tar or .tar.gz), whether Locker runs or not."""
    clock = SystemClock()
    if target is None:
        target = Path(f"locker-backup-{datetime.fromtimestamp(clock.now(), UTC):%Y-%m-%d-%H%M%S}.tar.gz")
    config = read_config(me, config_dir)
    passphrase = new_passphrase(source, is_wanted=not without_secrets)
    made = back_up(config.me, target, passphrase=passphrase, clock=clock, version=version(), on_step=progress)
    progress("")
    if as_json:
        show_json(msgspec.to_builtins(made))
    else:
        say(f"Saved {config.me} to {target}: {made.files} files, {_size(made.size_bytes)}, read back and whole.")
        if not made.has_secrets:
            say("Your sign-ins are not in it: after a restore, each account needs a new one.")
        for left in made.inventory.left:
            warn(plain(f"{left.name} is not in it: {left.reason}."))
    for name in sorted({*made.inventory.unsound} - {left.name for left in made.inventory.left}):
        warn(plain(f"{name} is damaged; it was saved as it is. See: {typed('doctor', me=config.me)}"))
    return exits.FAILED if made.inventory.unsound else exits.DONE


@click.command(short_help="Bring the backup FILE into an empty Me.")
@click.argument("archive", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@placed
@passphrase_file
@click.option(
    "--without-secrets", is_flag=True, help="Restore the data alone: the passphrase is lost, or not wanted here."
)
@click.option(
    "--take-over", "takes_over", is_flag=True, help="Let what was restored sync from now on, from this device."
)
@as_json
def restore(
    archive: Path | None, me: Path | None, config_dir: Path | None, source: str | None, without_secrets: bool,
    takes_over: bool, as_json: bool,
) -> int:  # fmt: skip
    """Bring the backup FILE into an empty Me, where everything rests until --take-over."""
    config = read_config(me, config_dir)
    if takes_over == (archive is not None):
        raise BadRequest("Name a backup, or add --take-over.", remedy=see("restore --help"))
    if archive is None:
        woken = _take_over(config.me)
        show_json({"taken_over": list(woken)}) if as_json else say(_woken(woken))
        return exits.DONE
    if not archive.exists():
        raise NotFound(f"There is no {archive}.", remedy="Check the name.")
    _check_place(config.me)
    ask = (lambda _attempt: None) if without_secrets else (lambda attempt: known_passphrase(source, attempt))
    with held(config.me):
        restored = bring_back(archive, config.me, passphrase=ask, clock=SystemClock(), on_step=progress)
    progress("")
    if as_json:
        show_json(msgspec.to_builtins(restored))
    else:
        _tell(restored, config.me)
    for name in restored.damaged:
        warn(plain(f"{name} was damaged when it was saved. See: {typed('doctor', me=config.me)}"))
    return exits.FAILED if restored.damaged else exits.DONE


def _take_over(me: Path) -> tuple[str, ...]:
    waiting_in(me)
    core = find(me)
    if core is not None:
        # What it holds in memory would be written over what we wrote.
        return tuple(core.ask("POST", "/take-over", wait_s=TAKE_OVER_S_MAX)["taken_over"])
    with held(me):
        return take_over(me, SystemClock())


def _woken(service_ids: tuple[str, ...]) -> str:
    return f"This device has taken over: {', '.join(service_ids)}." if service_ids else "This device has taken over."


def _tell(restored: Restored, me: Path) -> None:
    say(f"Restored into {me} what was saved at {moment(restored.made_at)}.")
    if not restored.has_secrets:
        say("Its secrets were not restored: each account needs a sign-in.")
    say(f"Nothing syncs yet. If this device takes over from the one that was saved, say so: {take_over_command(me)}")


@contextlib.contextmanager
def held(me: Path) -> Iterator[None]:
    """Nobody else's while the block lasts; AlreadyRunning where a core has it.

    A block that fails leaves no lock and no folder that was not there before.
    """
    # Loaded here alone: the whole house hangs on it.
    from core.assembly import MeLock

    made = [folder for folder in (me, *me.parents) if not folder.exists()]
    me.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = MeLock(me)
    was_begun = lock.is_begun()
    lock.take()
    try:
        yield
    except BaseException:
        if not was_begun:
            lock.withdraw()
        with contextlib.suppress(OSError):  # What holds something by now stays.
            for folder in made:
                folder.rmdir()
        raise
    finally:
        lock.release()


def _check_place(me: Path) -> None:
    """What speaks against a place speaks before it is filled; what it holds is the restore's own question."""
    for doubt in doubts_about(str(me), mounts=mounts(), checkout=str(ROOT)):
        if doubt.weight == Weight.REFUSED:
            raise FolderUnusable(doubt.sentence, remedy=doubt.cure)
        if doubt.weight == Weight.WARNED:
            warn(f"{doubt.sentence}\n{doubt.cure}")


def progress(step: str) -> None:
    """Show the step on a line that the next one takes; where nobody looks, nothing."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{plain(step)[:70] + ' …' if step else ''}", err=True, nl=False)


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


COMMANDS = {"backup": backup, "restore": restore}
