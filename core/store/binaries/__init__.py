"""Binaries, named by what they hold."""
