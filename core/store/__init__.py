"""What is known: facts, their current fold, and files; also the core's own small databases."""

from core.store.almanac import Almanac
from core.store.asof import AsOf, AtSeq, AtTime
from core.store.backup import Holding, copy_database, holding_of, is_database, note_backup, renew_epoch
from core.store.changes import Changed, ChangePage
from core.store.checkup import Checkup, check_up
from core.store.columns import Column
from core.store.condition import Condition, LastVerify
from core.store.coredb import CoreDb
from core.store.diff import Differences, differences
from core.store.documents import Documents
from core.store.export import Export, Exported, Forms, MakeTable
from core.store.files import FilePart, Files, FilesVerified, FileTotals
from core.store.findings import Findings, damage_of
from core.store.framed import FramedFile
from core.store.garbage import Collected
from core.store.imports import Import, Imported
from core.store.mending import Retried
from core.store.pages import place_of, word_of
from core.store.projection import projected
from core.store.query import Count
from core.store.reader import Reader
from core.store.receipts import Receipt
from core.store.recorder import Recorder
from core.store.recovery import accept_salvage, inspect, recover, repair
from core.store.retention import Policy
from core.store.samples import Sample, Sampled
from core.store.search import Found, Hit, Search
from core.store.series import Moment, Moments, Rollup, RollupPage, Series, Width
from core.store.snippet import Marked, one_line
from core.store.store import Store
from core.store.text import Reading
from core.store.values import Appended, Aside, Commit, Entry, FactPage, Origin, Page, Quarantined, Run
from core.store.verify import Span, Verification
from core.store.wanted import parse_query

__all__ = [
    "Almanac",
    "Appended",
    "AsOf",
    "Aside",
    "AtSeq",
    "AtTime",
    "ChangePage",
    "Changed",
    "Checkup",
    "Collected",
    "Column",
    "Commit",
    "Condition",
    "CoreDb",
    "Count",
    "Differences",
    "Documents",
    "Entry",
    "Export",
    "Exported",
    "FactPage",
    "FilePart",
    "FileTotals",
    "Files",
    "FilesVerified",
    "Findings",
    "Forms",
    "Found",
    "FramedFile",
    "Hit",
    "Holding",
    "Import",
    "Imported",
    "LastVerify",
    "MakeTable",
    "Marked",
    "Moment",
    "Moments",
    "Origin",
    "Page",
    "Policy",
    "Quarantined",
    "Reader",
    "Reading",
    "Receipt",
    "Recorder",
    "Retried",
    "Rollup",
    "RollupPage",
    "Run",
    "Sample",
    "Sampled",
    "Search",
    "Series",
    "Span",
    "Store",
    "Verification",
    "Width",
    "accept_salvage",
    "check_up",
    "copy_database",
    "damage_of",
    "differences",
    "holding_of",
    "inspect",
    "is_database",
    "note_backup",
    "one_line",
    "parse_query",
    "place_of",
    "projected",
    "recover",
    "renew_epoch",
    "repair",
    "word_of",
]
