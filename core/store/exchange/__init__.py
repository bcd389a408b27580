"""A store out and in: copies, exports, imports."""
