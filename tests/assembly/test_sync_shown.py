"""Who looks on sees a sync begin and end, whoever asked for it."""

from __future__ import annotations

import json
from pathlib import Path

import requests

from tests.fakes.feed_source import FeedSource
from tests.fakes.house import TOKEN, open_house


def test_a_sync_is_shown_as_it_begins_and_ends(tmp_path: Path) -> None:
    """To event streams that were open before, without a fact: nothing came and the pages know it all the same."""
    with FeedSource() as source, open_house(tmp_path) as house:
        source.entries["news"] = {}
        house.install("feeds", settings={"urls": [source.url("news")]})
        house.sync("feeds")
        head = {"Authorization": f"Bearer {TOKEN}"}
        with requests.get(f"{house.url}/events?types=sync", headers=head, stream=True, timeout=20) as stream:
            house.sync("feeds")
            shown = []
            for line in stream.iter_lines():
                if line.startswith(b"data: "):
                    shown.append(json.loads(line.removeprefix(b"data: ")))
                if shown and shown[-1]["state"] == "ended":
                    break

    assert [("feeds", "feeds", "running"), ("feeds", "feeds", "ended")] == [
        (one["service"], one["stream"], one["state"]) for one in shown
    ]
