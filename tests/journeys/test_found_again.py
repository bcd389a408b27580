"""What was brought home is found again: by its words, as it was at a time, without waking anybody."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.fakes.feed_source import FeedSource
from tests.fakes.house import House, open_house


def search(house: House, words: str, **more: str) -> list[str]:
    """The titles of what is found."""
    return [hit["title"]["text"] for hit in _answer(house, words, **more)["hits"]]


def _answer(house: House, words: str, **more: str) -> dict[str, Any]:
    answer = house.get("/search", params={"q": words, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_entries_are_found_by_their_words_while_their_service_sleeps(tmp_path: Path) -> None:
    """Right after the sync, in any way of writing; what it said before is found as of then."""
    with FeedSource() as source, open_house(tmp_path) as house:
        source.entries["news"] = {"1": "Ärger im Leuchtturm", "2": "東京タワーの灯台", "3": "Fog bank"}
        house.install("feeds", settings={"urls": [source.url("news")]})
        house.sync("feeds")

        assert ["Ärger im Leuchtturm"] == search(house, "arger leucht*")
        assert ["東京タワーの灯台"] == search(house, "タワー")

        then = time.time()
        source.entries["news"] = {"3": "Clear weather"}
        house.sync("feeds")
        house.post("/core/feeds/stop")
        asked = len(source.asked)

        assert ([], ["Clear weather"]) == (search(house, '"fog bank"'), search(house, "weather"))
        assert ["Fog bank"] == search(house, '"fog bank"', as_of=str(then))
        assert {"feeds": {"entry": 1}} == _answer(house, "weather")["counts"]
        assert "stopped" == house.get("/map").json()["installed"]["feeds"]["state"]
        assert asked == len(source.asked)


def test_a_broken_store_hides_no_other(tmp_path: Path) -> None:
    """INV-09: the service is named, and the rest is found."""
    with FeedSource() as source, open_house(tmp_path) as house:
        source.entries["news"] = {"1": "Fog bank"}
        for service in ("feeds", "broken"):
            answer = house.post(
                f"/core/{service}/install", json={"connector": "feeds", "settings": {"urls": [source.url("news")]}}
            )
            assert answer.status_code == 201, answer.text
            house.sync(service)
        house.post("/core/broken/stop")
        house.stop()
        for name in ("store.db", "store.db-wal"):
            (house.me / "broken" / name).write_bytes(b"no database " * 1000)
        house.start()
        found = _answer(house, "fog")

        assert ["feeds"] == [hit["service"] for hit in found["hits"]]
        assert ["broken"] == [skipped["service"] for skipped in found["skipped"]]
        assert 200 == house.get("/timeline").status_code
