"""What is known: facts, their current fold, and files; also the core's own small databases."""

from core.store.coredb import CoreDb
from core.store.documents import Documents
from core.store.files import FilePart, Files
from core.store.reader import Reader
from core.store.store import Store
from core.store.values import Aside, Commit, FactPage, Origin, Page, Quarantined, Run

__all__ = [
    "Aside",
    "Commit",
    "CoreDb",
    "Documents",
    "FactPage",
    "FilePart",
    "Files",
    "Origin",
    "Page",
    "Quarantined",
    "Reader",
    "Run",
    "Store",
]
