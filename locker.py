"""Start Locker: `python3 locker.py`. Needs nothing but Python 3.11; everything else goes into `.venv` beside this file.

The environment is checked at each start (one file is read), made where it is missing or out of date, and entered:
this program replaces itself by the environment's Python, which hands the words of the command line to `core.cli`.

This file keeps to the syntax that Python 2.7 reads, and its types stand in comments: a Python too old to run Locker
must get as far as saying so.
"""

# Python 2 has no pathlib, one more error class, no f-strings and no [*list].
# ruff: noqa: PTH110, PTH118, PTH120, PTH123, PTH208, UP024, UP031, RUF005

import os
import sys

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.realpath(__file__))
# Tests and benches have environments of their own, so that what `run` uses is the same whether they were ever
# installed or not, and no upgrade of a test tool can stop Locker from starting.
RUN = (".venv", "requirements.txt")
ENVIRONMENTS = {
    "test": (".venv.test", os.path.join("tests", "requirements.txt")),
    "bench": (".venv.bench", os.path.join("tests", "bench", "requirements.txt")),
}
STAMP = "locker.stamp"
ENTERED = "LOCKER_ENTERED"
MENDED = "LOCKER_MENDED"
TOKEN = "LOCKER_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FD = "LOCKER_TOKEN_FD"  # noqa: S105
# Far above any sensible token, far below what a pipe holds without a reader.
TOKEN_BYTES_MAX = 4096
# They point an interpreter at another one's library; what starts below this process must use its own.
MISLEADING = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV")
EXIT_CANNOT_START = 10
HELP = ("-h", "--help")
# Options that may stand before the command, with their value in the next word.
VALUED = ("--me", "--config", "--port")
USAGE = """Usage: python3 locker.py [--me DIR] [--config DIR] [COMMAND] [OPTIONS]

Locker brings a copy of your data home and keeps it alive. Without a command: run.

Commands: run, status, list, install, uninstall, enable, disable, sync, search, logs, token, \
export, import, backup, restore, store, doctor, test, bench

The first start installs what Locker needs; from then on, --help tells each command's options.
All of them stand in docs/cli.md."""
EXIT_INTERRUPTED = 130


def main(arguments):
    # type: (list[str]) -> int
    """The exit code; returns only in the environment's own Python, or when that cannot be had."""
    if sys.version_info < OLDEST:
        return refuse(*too_old())
    folder, requirements = places_of(ENVIRONMENTS.get(arguments[0] if arguments else "run", RUN))
    if asks_for_words(arguments):
        # Whatever is installed can answer, and nothing is installed for an answer.
        ready = [places for places in (places_of(RUN), (folder, requirements)) if is_ready(*places)]
        if not ready:
            sys.stdout.write(words_for(arguments) + "\n")
            return 0
        folder, requirements = ready[0]
    is_inside = os.path.realpath(sys.prefix) == os.path.realpath(folder)
    entered, mended = os.environ.pop(ENTERED, None), os.environ.pop(MENDED, None)
    if is_inside and entered is not None:
        return run_command(arguments, folder, requirements, mended is not None)
    if entered is not None:
        return refuse("%s does not hold together." % folder, "Remove that folder and start again.")
    for variable in MISLEADING:
        os.environ.pop(variable, None)
    token = os.environ.pop(TOKEN, None) or None
    if token is not None and len(token) > TOKEN_BYTES_MAX:
        return refuse("LOCKER_TOKEN is longer than %d characters." % TOKEN_BYTES_MAX, "Use a shorter one.")
    if not is_ready(folder, requirements):
        failure = make(folder, requirements)
        if failure is not None:
            return failure
    if is_inside and token is None:
        return run_command(arguments, folder, requirements, mended is not None)
    return enter(folder, arguments, token)


def places_of(environment):
    # type: (tuple[str, str]) -> tuple[str, str]
    """Where an environment stands, and the file of its pins."""
    name, pinned = environment
    return os.path.join(ROOT, name), os.path.join(ROOT, pinned)


def asks_for_words(arguments):
    # type: (list[str]) -> bool
    """Whether the command line asks for help, or for the list of benches; what follows `test` is pytest's."""
    if arguments[:1] == ["test"]:
        return arguments[1:2] in ([word] for word in HELP)
    return any(word in HELP for word in arguments) or (arguments[:1] == ["bench"] and "--list" in arguments)


def words_for(arguments):
    # type: (list[str]) -> str
    """The answer of a Locker that has nothing installed."""
    if arguments[:1] != ["bench"] or "--list" not in arguments:
        return USAGE
    modules = sorted(os.listdir(os.path.join(ROOT, "tests", "bench")))
    return "\n".join(name[:-3] for name in modules if name.endswith(".py") and not name.startswith("_"))


def too_old():
    # type: () -> tuple[str, str]
    """What to say to a Python that cannot run Locker, and the cure: a newer one on PATH, if there is one."""
    have = ".".join(str(part) for part in sys.version_info[:3])
    what = "Locker needs Python %d.%d or newer; this is Python %s." % (OLDEST[0], OLDEST[1], have)
    for minor in range(OLDEST[1] + 4, OLDEST[1] - 1, -1):
        name = "python3.%d" % minor
        if any(os.access(os.path.join(place, name), os.X_OK) for place in os.environ.get("PATH", "").split(os.pathsep)):
            return what, "Start it with: %s locker.py" % name
    return what, "Install a newer one (Debian, Ubuntu: sudo apt install python3), then start Locker with it."


def python_of(folder):
    # type: (str) -> str
    """The interpreter of the environment in `folder`."""
    return os.path.join(folder, "Scripts" if os.name == "nt" else "bin", "python.exe" if os.name == "nt" else "python")


def stamp_of(folder, requirements, place=None):
    # type: (str, str, str | None) -> bytes
    """What the stamp says of a finished environment: where it stands, whose Python it uses, what was installed.

    `place` is where it will stand, when that is not yet `folder`. The pins are kept whole rather than as a digest:
    comparing them costs less than loading a hash function.
    """
    python = os.path.realpath(python_of(folder))
    head = "%s\n%s\n" % (place or folder, "its own" if python.startswith(folder + os.sep) else python)
    with open(requirements, "rb") as file:
        return head.encode("utf-8", "surrogateescape") + file.read()


def is_ready(folder, requirements):
    # type: (str, str) -> bool
    """Whether the environment is finished, of today's requirements, in its place, and its Python still there."""
    try:
        with open(os.path.join(folder, STAMP), "rb") as file:
            stamp = file.read()
    except (IOError, OSError):
        return False
    return (
        stamp == stamp_of(folder, requirements)
        and os.path.exists(python_of(folder))
        and os.path.exists(os.path.join(folder, "pyvenv.cfg"))
    )


def make(folder, requirements):
    # type: (str, str) -> int | None
    """Make the environment, or bring it up to date; an exit code if that could not be done."""
    # Loaded when there is something to make, and never by a Python too old to read them.
    from core.environment import Blueprint, make_environment
    from core.model.errors import LockerError

    blueprint = Blueprint(
        folder=folder, requirements=requirements, stamp_name=STAMP, stamp_of=stamp_of, is_ready=is_ready
    )
    try:
        make_environment(blueprint)
    except LockerError as err:
        return refuse(err.detail, err.remedy)
    except KeyboardInterrupt:
        refuse("Stopped before everything was installed.", "Nothing was changed; start again at any time.")
        return EXIT_INTERRUPTED
    return None


def enter(folder, arguments, token):  # noqa: RET503 - nothing returns from exec
    # type: (str, list[str], str | None) -> int
    """Go on in the environment's Python.

    The token goes by a pipe: a variable removed later would stay readable in /proc/<pid>/environ.
    """
    python = python_of(folder)
    command = [python, os.path.join(ROOT, "locker.py")] + arguments
    environment = dict(os.environ, **{ENTERED: folder})
    if os.name == "nt":
        # Windows has neither exec nor inherited pipes of this kind, nor a file that shows the first environment.
        from subprocess import call

        return call(command, env=dict(environment, **({} if token is None else {TOKEN: token})))
    if token is not None:
        environment[TOKEN_FD] = piped(token)
    os.execve(python, command, environment)  # noqa: S606 - our own interpreter


def piped(token):
    # type: (str) -> str
    """The number of a pipe, open for whatever this process becomes, that holds the token."""
    read_end, write_end = os.pipe()
    os.write(write_end, token.encode("utf-8", "surrogateescape"))
    os.close(write_end)
    os.set_inheritable(read_end, True)
    return str(read_end)


def run_command(arguments, folder, requirements, is_mended):
    # type: (list[str], str, str, bool) -> int
    """Hand the command line to the commands; where a package is damaged, install all of them anew, once."""
    token = peeked_token()
    # What no installation mends is judged by whether it can be imported.
    damage = None if is_mended or not is_run(arguments) else damage_of(folder)
    if damage is None:
        try:
            from core.cli import main as command_line

            return command_line(arguments)
        except ImportError as err:
            if not is_of_a_package(err):
                raise
            damage = str(err)
    if is_mended:
        return refuse("A package of %s cannot be used: %s." % (folder, damage), "Remove that folder and start again.")
    sys.stderr.write("%s is damaged: %s. Its packages are installed anew.\n" % (folder, damage))
    # Empty, the stamp vouches for nothing, and still tells that this environment is ours to replace.
    with open(os.path.join(folder, STAMP), "wb"):
        pass
    failure = make(folder, requirements)
    if failure is not None:
        return failure
    os.environ[MENDED] = folder
    return enter(folder, arguments, token)


def is_run(arguments):
    # type: (list[str]) -> bool
    """Whether the command line starts the core, whose connectors stand on packages that no command imports."""
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        del rest[: 2 if rest[0] in VALUED else 1]
    return not rest or rest[0] == "run"


def damage_of(folder):
    # type: (str) -> str | None
    """What is wrong with the files of the environment's packages, or None."""
    from core.environment import damage_in

    return damage_in(folder)


def peeked_token():
    # type: () -> str | None
    """The token that this process was given; it waits in its pipe again for the commands."""
    handle = os.environ.get(TOKEN_FD, "")
    if not handle.isdigit():
        return os.environ.get(TOKEN)
    try:
        token = os.read(int(handle), TOKEN_BYTES_MAX).decode("utf-8", "surrogateescape")
        os.close(int(handle))
    except OSError:
        return None  # The commands will say what is wrong with it.
    os.environ[TOKEN_FD] = piped(token)
    return token


def is_of_a_package(err):
    # type: (ImportError) -> bool
    """Whether what could not be imported came from pip, rather than from Python or from this checkout."""
    top = (err.name or "").partition(".")[0]
    return bool(top) and top not in sys.stdlib_module_names and not os.path.exists(os.path.join(ROOT, top))


def refuse(what, cure):
    # type: (str, str) -> int
    """Say in two lines what is wrong and what helps; the exit code for it."""
    sys.stderr.write("%s\n%s\n" % (what, cure))
    return EXIT_CANNOT_START


if __name__ == "__main__":
    # A Python in safe-path mode leaves it out.
    if ROOT not in sys.path:
        sys.path.insert(0, ROOT)
    sys.exit(main(sys.argv[1:]))
