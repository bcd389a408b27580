"""The warm parent's own process, whose core may be gone at any moment."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from core.process.zygote import CHECKOUT, Zygote

pytestmark = pytest.mark.skipif(not Zygote.is_possible(), reason="needs Linux")


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_core_that_is_gone_already_is_left_in_silence(is_reset: bool) -> None:
    """A start that failed leaves no traceback of the parent that was still warming up."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        if is_reset:
            theirs.send(b"never read")
        process = subprocess.Popen(
            [sys.executable, "-m", "core.process.warm_parent", "--line", str(theirs.fileno()), "--preload", "json"],
            cwd=CHECKOUT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        ours.close()
    _, errors = process.communicate(timeout=20)

    assert (0, b"") == (process.returncode, errors)
