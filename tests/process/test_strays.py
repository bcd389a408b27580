"""What children leave behind."""

from __future__ import annotations

import subprocess
import sys
import textwrap

# In a process of its own: a subreaper stays one.
SCENE = """
    import os, subprocess, sys, time
    import psutil
    from core.process.strays import Burials, adopt

    assert adopt()
    leaves = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'input()'], stdin=0).pid)"
    parent = subprocess.Popen([sys.executable, "-c", leaves], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    orphan = psutil.Process(int(parent.stdout.readline()))
    parent.wait()
    until = time.monotonic() + 10
    while orphan.ppid() != os.getpid() and time.monotonic() < until:
        time.sleep(0.01)
    adopted = orphan.ppid() == os.getpid()
    orphan.kill()
    awaited = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    while not all(p.status() == "zombie" for p in (orphan, psutil.Process(awaited.pid))):
        time.sleep(0.01)
    burials = Burials()
    burials.look({awaited.pid})
    after_one_look = orphan.is_running()
    burials.look({awaited.pid})
    print(adopted, after_one_look, psutil.pid_exists(orphan.pid), awaited.wait())
"""


def test_orphans_are_adopted_and_buried() -> None:
    """INV-05: an orphan becomes ours, is reaped one look after it ended, and nobody else's child is reaped for them."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(SCENE)], capture_output=True, text=True, timeout=60)

    assert "True True False 7" == done.stdout.strip(), done.stderr
