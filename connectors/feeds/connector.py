"""Feeds: RSS, Atom and JSON Feed."""

from connectors.sdk import run

run(__file__)
