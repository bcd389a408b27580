"""Every sample feed: how many entries it has, the first of them, and what is odd about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.feeds.entries import enclosures_of, puts
from connectors.feeds.reading import Document, Reading
from connectors.sdk import Put
from connectors.sdk.testing import Child
from tests.feeds.conftest import DATA

URL = "http://feeds.example.test/blog/feed"

# File, format, number of entries, title of the first, notes.
GOLDEN: list[tuple[str, str, int, str, str]] = [
    ("AmazonWebServicesBlog.xml", "atom10", 10, "AWS Job: Architect & Designer Position in Turkey", ""),
    (
        "AtomFeedWithSpacesAroundEquals.xml", "atom10", 1,
        "Winter Weather Advisory issued November 07 at 4:09AM EST until November 08 at 12:00PM EST by NWS", "",
    ),
    ("AtomWithITunesInCDATA.xml", "atom10", 1, "How to set up a podcast RSS feed", ""),
    ("FeedBurnerUrlNoAlternate.xml", "atom10", 1, "QQQQ", ""),
    ("GoogleDocsList.xml", "atom10", 2, "2010 Income Tax Policy", ""),
    (
        "HuffPostCanada.xml", "rss20", 2,
        "Winnipeg High School Orders Custom Hijabs For Muslim Athletes", "",
    ),
    ("ITunesWithSpacesInAttributes.xml", "rss20", 3, "Shake Shake Shake Your Spices", ""),
    ("InvalidDateFormat.xml", "rss20", 2, "Item 0 with an invalid date", "not well-formed"),
    ("Permalinks.xml", "rss20", 4, "Item 1", ""),
    (
        "RSSWithComments.xml", "rss20", 30,
        "AWS Lambda Function URLs: Built-In HTTPS Endpoints for Lambda", "",
    ),
    ("SamRuby.xml", "atom10", 20, "Plex", ""),
    ("a10.xml", "rss20", 5, "Title 5", ""),
    (
        "encoding_ISO-8859-1.xml", "rss20", 40,
        "Red Dead Redemption 2: Hinweise auf PC-Umsetzung in App von Rockstar Games", "",
    ),
    ("encoding_WINDOWS-1251.xml", "rss20", 50, "Цитата #17703", ""),
    (
        "google_alerts_atom.xml", "atom10", 20,
        "Report offers Prediction of Automotive Slack Market by Top key players like Haldex, Meritor, Bendix ...", "",
    ),
    ("invalid.json", "json1.1", 8, "", "no text"),
    ("itunes.xml", "rss20", 3, "Shake Shake Shake Your Spices", "unbound prefix"),
    ("json_feed.json", "json1", 20, "James Dempsey and the Breakpoints Benefit App Camp for Girls", ""),
    ("koi8r.xml", "rss", 1, "Как пережить новогоднюю ночь", "encoding is not declared"),
    (
        "no_encoding_ISO-8859-1.xml", "rss20", 10,
        "Perturbateurs endocriniens : quels effets sur le cerveau ?", "encoding is not declared",
    ),
    ("rdf_UTF8.xml", "rss090", 60, "OLED-TVs: Vorsichtsmaßnahmen gegen Einbrennen", ""),
    ("rss_incomplete_cdata.xml", "rss20", 1, "", "not well-formed"),
    ("rss_item_link_corrupted_ampersands.xml", "rss20", 1, "", "not well-formed"),
    ("rss_version_091_netscape.xml", "rss091n", 0, "", ""),
    ("small_atom.xml", "atom10", 20, "Parse podcast categories", ""),
    ("undeclared_namespace.xml", "rss20", 0, "", "unbound prefix"),
    ("youtube_atom.xml", "atom10", 15, "The Google app: Questions Title", ""),
]  # fmt: skip


@pytest.fixture(scope="module")
def reading() -> Iterator[Reading]:
    """The reader's process."""
    with Reading() as reading:
        yield reading


@pytest.fixture
def read(reading: Reading) -> Callable[[str], tuple[Document, list[Put]]]:
    """A sample feed, read as if it came from URL."""

    def read(name: str) -> tuple[Document, list[Put]]:
        document = reading.document((DATA / name).read_bytes(), content_type="text/xml", url=URL)
        assert isinstance(document, Document)
        return document, list(puts(document, feed="f", url=URL))

    return read


Read = Callable[[str], tuple[Document, list[Put]]]


def test_every_sample_is_expected_here() -> None:
    """A new sample gets its line."""
    assert {p.name for p in DATA.glob("*.*") if p.suffix in (".xml", ".json")} == {name for name, *_ in GOLDEN}


@pytest.mark.parametrize(("name", "form", "count", "title", "note"), GOLDEN, ids=[line[0] for line in GOLDEN])
def test_a_sample_is_read(read: Read, name: str, form: str, count: int, title: str, note: str) -> None:
    """Format, entries, first title, and a note where something is wrong with the document."""
    document, entries = read(name)

    assert (form, count, count) == (document.format, len(document.entries), len(entries))
    assert title == (entries[0].common.get("title", "") if entries else "")
    assert len({put.key for put in entries}) == count
    assert note in "; ".join(document.notes)
    assert bool(note) == bool(document.notes)


def test_every_sample_arrives_through_nginx(nginx: str, follow: Callable[..., Child]) -> None:
    """All of them followed by one service: each with its entries, compressed on the way, none stops another."""
    child = follow(*(f"{nginx}/{name}" for name, *_ in GOLDEN))
    run = child.sync()[0]
    feeds = {record["value"]["url"].rpartition("/")[2]: record for record in child.records("feed").values()}
    counts = dict.fromkeys((record["key"] for record in feeds.values()), 0)
    for record in child.records("entry").values():
        counts[record["value"]["feed"]] += 1

    assert ("ok", 0) == (run["status"], run["quarantined"])
    assert {name: count for name, _, count, *_ in GOLDEN} == {name: counts[r["key"]] for name, r in feeds.items()}
    assert {"ok"} == {record["value"]["status"] for record in feeds.values()}


def test_an_unchanged_feed_writes_nothing(nginx: str, follow: Callable[..., Child]) -> None:
    """304 by the validators of a real server: no fact, no cursor."""
    child = follow(*(f"{nginx}/{name}" for name, *_ in GOLDEN))
    child.sync()
    before = len(child.facts())
    run = child.sync()[0]

    assert ("ok", 0, 0, 0) == (run["status"], run["new"], run["updated"], run["same"])
    assert before == len(child.facts())


def test_permalinks_make_links(read: Read) -> None:
    """A guid is a link where it says so or says nothing; the entry's own link goes before it."""
    links = [put.common.get("link") for put in read("Permalinks.xml")[1]]

    assert [None, "http://example.com/2", "http://example.com/3", "http://example.com/4"] == [
        link and link.removesuffix("/") for link in links
    ]


def test_relative_links_follow_the_base(read: Read) -> None:
    """xml:base in the feed, over the address it was fetched from."""
    document, entries = read("SamRuby.xml")

    assert "http://feeds.example.test/blog/2013/01/30/Plex" == entries[0].common["link"]
    assert document.link.startswith("http://")


def test_markup_in_titles_is_read(read: Read) -> None:
    """Titles are plain text; a search engine's counting link is unwrapped."""
    first = read("google_alerts_atom.xml")[1][0]

    assert "<b>" not in first.common["title"]
    assert "<b>" in first.value["title"]
    assert first.common["link"].startswith("https://www.aglobalmarketresearch.com/")


def test_escaped_ampersands_survive_in_links(read: Read) -> None:
    """A document that breaks off loses its end, not its sense."""
    assert "http://link/get?a=1&b=2" == read("rss_item_link_corrupted_ampersands.xml")[1][0].value["link"]


def test_podcasts_bring_their_files(read: Read) -> None:
    """Address, type and size of each enclosure; a tag inside CDATA is text."""
    episodes = [enclosures_of(put.value) for put in read("itunes.xml")[1]]

    assert [1, 1, 1] == [len(files) for files in episodes]
    assert ("audio/x-m4a", "8727310") == (episodes[0][0]["type"], episodes[0][0]["length"])
    assert [] == enclosures_of(read("AtomWithITunesInCDATA.xml")[1][0].value)
    assert "xmlns:itunes=" in read("AtomWithITunesInCDATA.xml")[1][0].common["text"]


def test_the_valid_date_counts(read: Read) -> None:
    """A Unix timestamp in dc:date beside a proper pubDate."""
    assert 1508166600.0 == read("InvalidDateFormat.xml")[1][0].at


def test_counters_are_kept_apart(read: Read) -> None:
    """Statistics of views change with every visit: they are volatile in the manifest, and in the value."""
    first = read("youtube_atom.xml")[1][0]

    assert "media_statistics" in first.value
    assert first.common["thumbnail"].startswith("https://i2.ytimg.com/")


def test_wrong_types_in_json_harm_nothing(read: Read) -> None:
    """Items are kept as they are; nothing is made up from what is no text."""
    entries = read("invalid.json")[1]

    assert 8 == len(entries)
    assert all(isinstance(text, str) for put in entries for text in put.common.values())
    assert 1000 == entries[0].value["title"]


def test_bytes_in_any_encoding_become_text(read: Read) -> None:
    """Declared, undeclared, western, cyrillic."""
    texts = [
        read(name)[1][0].common["text"]
        for name in ("encoding_ISO-8859-1.xml", "encoding_WINDOWS-1251.xml", "no_encoding_ISO-8859-1.xml", "koi8r.xml")
    ]

    assert texts[0].startswith("Viele Spieler wünschen sich")
    assert "жаба программер" in texts[1]
    assert "nombre d'études" in texts[2].replace("’", "'")
    assert texts[3].startswith("Наверное, единственное")


def test_no_sample_leaves_markup_in_its_text(read: Read) -> None:
    """Plain text for search and lists: no tag of the source's is left in it."""
    for name, *_ in GOLDEN:
        for put in read(name)[1]:
            for field in ("title", "text", "summary"):
                text = put.common.get(field, "")
                assert not any(tag in text for tag in ("<p>", "<div", "<img", "<a href", "&nbsp;", "&amp;")) or (
                    name == "AtomWithITunesInCDATA.xml"
                ), (name, field, text[:200])


def test_data_folder_has_licences() -> None:
    """Each source of samples is named with its licence."""
    readme = Path(DATA / "README.md").read_text()

    assert all(name in readme for name, *_ in GOLDEN)
    assert 5 == len(list((DATA / "LICENSES").glob("*.txt")))
