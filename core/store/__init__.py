"""What is known: facts, their current fold, and files; also the core's own small databases."""

from core.store.backup import Holding, copy_database, holding_of, is_database, renew_epoch
from core.store.coredb import CoreDb
from core.store.documents import Documents
from core.store.files import FilePart, Files
from core.store.reader import Reader
from core.store.store import Store
from core.store.values import Appended, Aside, Commit, Entry, FactPage, Origin, Page, Quarantined, Run

__all__ = [
    "Appended",
    "Aside",
    "Commit",
    "CoreDb",
    "Documents",
    "Entry",
    "FactPage",
    "FilePart",
    "Files",
    "Holding",
    "Origin",
    "Page",
    "Quarantined",
    "Reader",
    "Run",
    "Store",
    "copy_database",
    "holding_of",
    "is_database",
    "renew_epoch",
]
