"""Asking for records: lists by filter and order, the past, and what changed."""
