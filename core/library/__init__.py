"""Reading across all stores: search, the timeline, and counts."""

from core.library.library import Counts, Library
from core.library.search import Match, Matches
from core.library.shelves import Shelf, Skipped
from core.library.timeline import Day, Moment

__all__ = ["Counts", "Day", "Library", "Match", "Matches", "Moment", "Shelf", "Skipped"]
