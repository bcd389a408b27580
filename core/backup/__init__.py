"""All of Me, out and back: backups, restores, exports and imports, as archives that are written whole or not at all."""

from core.backup.exporting import ExportDone, Source, export, schema_of
from core.backup.household import Remembered, remembered
from core.backup.importing import ImportDone, import_from
from core.backup.packing import refuse_inside
from core.backup.parquet import parquet_tables
from core.backup.restoring import Restored, is_unfinished, restore, restored_in
from core.backup.saving import Backup, Inventory, back_up
from core.backup.takeover import (
    check_awake,
    forget_restore,
    rest_of,
    restore_notices,
    still_there,
    take_over,
    take_over_command,
    waiting_in,
)

__all__ = [
    "Backup",
    "ExportDone",
    "ImportDone",
    "Inventory",
    "Remembered",
    "Restored",
    "Source",
    "back_up",
    "check_awake",
    "export",
    "forget_restore",
    "import_from",
    "is_unfinished",
    "parquet_tables",
    "refuse_inside",
    "remembered",
    "rest_of",
    "restore",
    "restore_notices",
    "restored_in",
    "schema_of",
    "still_there",
    "take_over",
    "take_over_command",
    "waiting_in",
]
