"""A connector's folder: its manifest, and its modules, imported when first needed.

Nothing of the author's but connector.py is imported while the child starts: the stored data is served at once, and
a fault in sync.py is told by the run that meets it.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from pathlib import Path
from types import ModuleType

from core.model.errors import Broken
from core.model.manifest import MANIFEST_BYTES_MAX, Manifest, parse_manifest

PACKAGE = "connectors"

log = logging.getLogger(__name__)


class Source:
    """One connector's folder; its module `sync` is imported as `connectors.<folder>.sync`, wherever the folder lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._manifest: Manifest | None = None

    @property
    def manifest(self) -> Manifest:
        """connector.toml, read once; raises ManifestInvalid with every fault."""
        if self._manifest is None:
            with (self.folder / "connector.toml").open("rb") as file:
                text = file.read(MANIFEST_BYTES_MAX + 1)
            if len(text) > MANIFEST_BYTES_MAX:
                raise Broken(f"{self.folder}/connector.toml has more than {MANIFEST_BYTES_MAX} bytes")
            self._manifest = parse_manifest(text.decode("utf-8"), str(self.folder))
        return self._manifest

    def has(self, role: str) -> bool:
        """Whether the connector has something to say in this role: auth, sync, api, webservice."""
        return (self.folder / f"{role}.py").is_file()

    def module(self, role: str) -> ModuleType:
        """The connector's module of that role; raises Broken when it cannot be imported."""
        with self._lock:
            name = f"{self._package()}.{role}"
            try:
                return importlib.import_module(name)
            except Exception as err:
                # The author's module may raise anything while it is imported; the traceback is the cure.
                log.exception("cannot import %s", name)
                raise Broken(f"{role}.py cannot be imported: {type(err).__name__}: {err}") from err

    def _package(self) -> str:
        name = f"{PACKAGE}.{self.folder.name}"
        known = sys.modules.get(name)
        if known is None:
            known = ModuleType(name)
            known.__path__ = [str(self.folder)]
            sys.modules[name] = known
        elif str(self.folder) not in [str(Path(path)) for path in known.__path__]:
            raise Broken(f"{name} is already imported from {list(known.__path__)}")
        return name
