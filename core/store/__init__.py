"""What is known: facts, their current fold, and files; also the core's own small databases."""

from core.store.asking.almanac import Almanac
from core.store.asking.asof import AsOf, AtSeq, AtTime
from core.store.asking.changes import Changed, ChangePage
from core.store.asking.diff import Differences, differences
from core.store.asking.projection import projected
from core.store.asking.query import Count
from core.store.binaries.files import FilePart, Files, FilesVerified, FileTotals
from core.store.binaries.garbage import Collected
from core.store.care.checkup import Checkup, check_up
from core.store.care.condition import Condition, LastVerify
from core.store.care.findings import Findings, damage_of
from core.store.care.recovery import accept_salvage, inspect, is_settled, recover, repair
from core.store.care.retention import Policy
from core.store.care.verify import Span, Verification
from core.store.coredb import CoreDb
from core.store.documents import Documents
from core.store.exchange.backup import Holding, copy_database, holding_of, is_database, note_backup, renew_epoch
from core.store.exchange.columns import Column
from core.store.exchange.export import Export, Exported, Forms, MakeTable
from core.store.exchange.framed import FramedFile
from core.store.exchange.imports import RECEIPT_LINE_BYTES_MAX, SET_ASIDE_LINE_BYTES_MAX, Import, Imported
from core.store.lock import is_held
from core.store.log.beginnings import Begun, cut_run, mark_name, unended
from core.store.log.entries import has_another_hash
from core.store.log.mending import Retried
from core.store.log.receipts import FROM_STORE, Receipt
from core.store.moments import moment
from core.store.numbers.recorder import Recorder
from core.store.numbers.samples import Sample, Sampled
from core.store.numbers.series import Moment, Moments, Rollup, RollupPage, Series, Width
from core.store.pages import place_of, word_of
from core.store.paths import value_at
from core.store.reader import Reader
from core.store.store import Store
from core.store.values import Appended, Aside, Commit, Entry, FactPage, Origin, Page, Quarantined, Run, Verbatim
from core.store.words.search import Found, Hit, Search
from core.store.words.snippet import Marked, beginning, one_line, rest_of
from core.store.words.text import Reading
from core.store.words.wanted import parse_query

__all__ = [
    "FROM_STORE",
    "RECEIPT_LINE_BYTES_MAX",
    "SET_ASIDE_LINE_BYTES_MAX",
    "Almanac",
    "Appended",
    "AsOf",
    "Aside",
    "AtSeq",
    "AtTime",
    "Begun",
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
    "Verbatim",
    "Verification",
    "Width",
    "accept_salvage",
    "beginning",
    "check_up",
    "copy_database",
    "cut_run",
    "damage_of",
    "differences",
    "has_another_hash",
    "holding_of",
    "inspect",
    "is_database",
    "is_held",
    "is_settled",
    "mark_name",
    "moment",
    "note_backup",
    "one_line",
    "parse_query",
    "place_of",
    "projected",
    "recover",
    "renew_epoch",
    "repair",
    "rest_of",
    "unended",
    "value_at",
    "word_of",
]
