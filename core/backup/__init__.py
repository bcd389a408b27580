"""All of Me, out and back: backups, restores, exports and imports, as archives that are written whole or not at all."""
