"""All of Me, out and back: backups, restores, exports and imports, as archives that are written whole or not at all."""

from core.backup.restoring import Restored, is_unfinished, restore
from core.backup.saving import Backup, Inventory, back_up
from core.backup.takeover import forget_restore, restore_notices, restored_in, still_there, take_over

__all__ = [
    "Backup",
    "Inventory",
    "Restored",
    "back_up",
    "forget_restore",
    "is_unfinished",
    "restore",
    "restore_notices",
    "restored_in",
    "still_there",
    "take_over",
]
