"""Landlock by ctypes: which files a child may touch, and whom it may signal.

A child gets its own folder for writing and a list of places for reading; everything else of the file system is closed
to it and to whatever it starts, for good. The network stays open: connectors exist to use it. Landlock has no rule for
connecting to a socket that has a path, so whoever listens on one checks its peer.

Only the standard library is used here: this module also runs in interpreters that have none of our packages.
"""

from __future__ import annotations

import ctypes
import functools
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSCALL_CREATE_RULESET, SYSCALL_ADD_RULE, SYSCALL_RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK = 1 << 6, 1 << 7, 1 << 8, 1 << 9
MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = 1 << 10, 1 << 11, 1 << 12
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
SCOPE_ABSTRACT_SOCKET, SCOPE_SIGNAL = 1 << 0, 1 << 1

ABI_REFER, ABI_TRUNCATE, ABI_IOCTL_DEV, ABI_SCOPE = 2, 3, 5, 6

FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = READ_FILE | READ_DIR
RUN = READ | EXECUTE
# A link or a pipe in a child's folder could lead or hold up the core when it opens what lies there.
OWN = READ | WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | REFER
DEVICE = READ_FILE | WRITE_FILE

# Each is opened where it exists. Not among them: other processes under /proc, /etc as a whole, /home, /tmp, /run,
# /dev/shm (so named semaphores, which multiprocessing's locks and pools need, are not to be had).
SYSTEM_RUN = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin")
SYSTEM_READ = (
    "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ca-certificates.conf", "/etc/crypto-policies",
    "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services",
    "/etc/protocols", "/etc/localtime", "/etc/timezone", "/etc/zoneinfo", "/etc/passwd", "/etc/group",
    # Python's mimetypes opens each of these that it sees, and fails if it may not.
    "/etc/mime.types", "/etc/httpd/mime.types", "/etc/httpd/conf/mime.types", "/etc/apache/mime.types",
    "/etc/apache2/mime.types",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
    # The process itself, for a runtime that measures its memory (Node does); what it starts is not covered.
    "/proc/self",
    # The resolver's file is replaced when the network changes; its folder stays.
    "/run/systemd/resolve", "/run/NetworkManager/resolv.conf", "/run/resolvconf", "/run/connman",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


@dataclass(frozen=True)
class Sandbox:
    """The places open to one child: `own` for writing, `runs` for reading and executing, `reads` for reading."""

    own: tuple[str, ...]
    runs: tuple[str, ...]
    reads: tuple[str, ...]

    def as_document(self) -> dict[str, list[str]]:
        """The sandbox as it travels to the process that puts it up."""
        return {"own": list(self.own), "runs": list(self.runs), "reads": list(self.reads)}

    @classmethod
    def from_document(cls, document: dict[str, list[str]]) -> Sandbox:
        """The sandbox that `as_document` described."""
        return cls(own=tuple(document["own"]), runs=tuple(document["runs"]), reads=tuple(document["reads"]))

    def rules(self) -> Iterator[tuple[str, int]]:
        """Every opened place with its rights, the system's own included."""
        for path in self.own:
            yield path, OWN
        for path in (*SYSTEM_RUN, *self.runs):
            yield path, RUN
        for path in (*SYSTEM_READ, *self.reads):
            yield path, READ
        for path in DEVICES:
            yield path, DEVICE


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def landlock_abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    found = _libc().syscall(
        ctypes.c_long(SYSCALL_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(CREATE_RULESET_VERSION)
    )
    return max(0, int(found))


def handled_rights(abi: int) -> int:
    """Every file right that this version can withhold."""
    rights = (1 << 13) - 1
    for since, right in ((ABI_REFER, REFER), (ABI_TRUNCATE, TRUNCATE), (ABI_IOCTL_DEV, IOCTL_DEV)):
        if abi >= since:
            rights |= right
    return rights


def restrict(sandbox: Sandbox, *, abi: int) -> None:
    """Shut this process and all it will start into `sandbox`; does nothing where `abi` is 0.

    Raises OSError where the kernel refuses: the process must not go on then.
    """
    if abi < 1:
        return
    handled = handled_rights(abi)
    scoped = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL if abi >= ABI_SCOPE else 0
    attributes = _Ruleset(handled, 0, scoped)
    ruleset = _syscall(
        SYSCALL_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes)), ctypes.c_uint32(0)
    )
    try:
        for path, rights in sandbox.rules():
            _allow(ruleset, path, rights & handled)
        set_process_option(PR_SET_NO_NEW_PRIVS, 1)
        _syscall(SYSCALL_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def set_process_option(option: int, value: int | bytes) -> None:
    """Set one of Linux's per-process options (prctl) to a number or a text; raises OSError."""
    zero = ctypes.c_ulong(0)
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    if _libc().prctl(ctypes.c_int(option), argument, zero, zero, zero) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} was refused")


def readable_folder_of(command: str) -> tuple[str, ...]:
    """What a program outside the system's folders needs of its installation: its own `bin`, and `lib` beside it."""
    program = Path(command).resolve()
    if any(program.is_relative_to(folder) for folder in SYSTEM_RUN):
        return ()
    library = program.parent.parent / "lib"
    if program.parent.name == "bin" and library.is_dir():
        return (str(program.parent), str(library))
    return (str(program),)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # What is not there, or not ours to open, needs no permission.
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= FILE_RIGHTS
        rule = _PathBeneath(rights, place)
        _syscall(
            SYSCALL_ADD_RULE,
            ctypes.c_int(ruleset),
            ctypes.c_int(RULE_PATH_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(place)


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: Any) -> int:
    result = int(_libc().syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"system call {number} was refused: {os.strerror(code)}")
    return result
