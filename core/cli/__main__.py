"""`python -m core.cli`: the commands, in whatever environment this Python has."""

from __future__ import annotations

import sys

from core.cli.command_line import main

sys.exit(main(sys.argv[1:]))
