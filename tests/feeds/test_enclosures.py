"""Files that entries bring along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connectors.sdk.testing import Child
from tests.feeds.site import Reply, Site, item, rss


def _episode(site: Site, number: int) -> str:
    url = site.url(f"/{number}.mp3")
    return item(str(number), f"episode {number}", extra=f'<enclosure url="{url}" type="audio/mpeg" length="9"/>')


def _files(child: Child) -> dict[str, dict[str, Any]]:
    return {r["value"]["url"].rpartition("/")[2]: r["value"] for r in child.records("enclosure").values()}


def test_files_are_kept_from_when_it_was_switched_on(site: Site, follow: Callable[..., Child]) -> None:
    """Older entries' files stay where they are; new ones are fetched once, and served."""
    site.pages["/feed"] = Reply(rss(_episode(site, 1)))
    site.pages["/2.mp3"] = Reply(b"ID3" + b"music" * 1000)
    child = follow(site.url("/feed"), keep_enclosures=True)
    child.sync()
    site.pages["/feed"] = Reply(rss(_episode(site, 2), _episode(site, 1)))
    child.sync()
    child.sync()
    kept = _files(child)

    assert {"2.mp3"} == set(kept)
    assert ("kept", 5003) == (kept["2.mp3"]["status"], kept["2.mp3"]["bytes"])
    assert (0, 1) == (site.count("/1.mp3"), site.count("/2.mp3"))
    answer = child.get(f"/files/{kept['2.mp3']['file']}")
    assert (b"ID3" + b"music" * 1000, "audio/mpeg") == (answer.content, answer.headers["Content-Type"])


def test_nothing_is_fetched_unasked(site: Site, follow: Callable[..., Child]) -> None:
    """Off is the default: the entries list their files, and that is all."""
    site.pages["/feed"] = Reply(rss())
    child = follow(site.url("/feed"))
    child.sync()
    site.pages["/feed"] = Reply(rss(_episode(site, 1)))
    child.sync()
    (entry,) = child.records("entry").values()

    assert 0 == site.count("/1.mp3")
    assert site.url("/1.mp3") in str(entry["value"]["links"])


def test_a_file_that_is_too_large_is_not_kept(site: Site, follow: Callable[..., Child]) -> None:
    """The owner's bound; it is told and not tried again."""
    site.pages["/feed"] = Reply(rss())
    site.pages["/1.mp3"] = Reply(b"x" * 1_048_577)
    site.pages["/2.mp3"] = Reply(b"x" * 1_048_576)
    child = follow(site.url("/feed"), keep_enclosures=True, enclosure_mb_max=1)
    child.sync()
    site.pages["/feed"] = Reply(rss(_episode(site, 1), _episode(site, 2)))
    child.sync()
    child.sync()

    assert {"1.mp3": "too_large", "2.mp3": "kept"} == {name: value["status"] for name, value in _files(child).items()}
    assert 1 == site.count("/1.mp3")


def test_a_file_that_fails_is_tried_again(site: Site, follow: Callable[..., Child]) -> None:
    """On later runs, three times in all; one that comes back is kept."""
    site.pages["/feed"] = Reply(rss())
    child = follow(site.url("/feed"), keep_enclosures=True)
    child.sync()
    site.pages["/feed"] = Reply(rss(_episode(site, 1), _episode(site, 2)))
    child.sync()
    failed = {name: value["status"] for name, value in _files(child).items()}
    site.pages["/1.mp3"] = Reply(b"here now")
    for _ in range(4):
        child.sync()

    assert {"1.mp3": "failed", "2.mp3": "failed"} == failed
    assert {"1.mp3": "kept", "2.mp3": "failed"} == {name: value["status"] for name, value in _files(child).items()}
    assert 3 == site.count("/2.mp3")


def test_a_file_inside_the_house_is_not_fetched(site: Site, follow: Callable[..., Child]) -> None:
    """An entry leads no connector to a machine of the house."""
    inside = Site()
    try:
        inside.pages["/1.mp3"] = Reply(b"secret")
        site.pages["/feed"] = Reply(rss())
        child = follow(site.url("/feed"), keep_enclosures=True)
        child.sync()
        site.pages["/feed"] = Reply(rss(_episode(inside, 1)))
        child.sync()
    finally:
        inside.close()

    assert [] == inside.asked
    assert "failed" == _files(child)["1.mp3"]["status"]
