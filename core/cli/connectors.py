"""The connectors' folders as commands read them."""

from __future__ import annotations

import logging

from core.config import Config
from core.registry import Catalog

_UNHEARD = logging.NullHandler()


def connectors_of(config: Config) -> Catalog:
    """Every connector that this configuration leads to.

    What is wrong with a folder is told by the command that is asked for it, and by no line of a log at the terminal.
    """
    logging.getLogger(Catalog.__module__).addHandler(_UNHEARD)
    return Catalog(config.connector_paths)
