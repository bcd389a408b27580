"""REST access to records: lists by filter, order and words, single ones, their histories; now or at a past moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from core.model.errors import BadRequest, NotFound
from core.model.fact import Fact, JsonObject, Record
from core.model.filter import Filter, Path, predicate
from core.model.ids import key_from_path, key_to_path
from core.model.manifest import Manifest, spec_of
from core.records import asked
from core.records.answers import Answer, Request, json_answer
from core.records.tags import Tags, cache_headers, depth, is_current, not_modified
from core.store import AsOf, Hit, Reader, Search, Store, Verbatim, differences, parse_query, projected

HITS_MAX = 200

_DIFFERING = ("value", "common")


class _Shown(msgspec.Struct, frozen=True, gc=False):
    """A record as it is answered."""

    key: str
    value: JsonObject | msgspec.Raw
    common: JsonObject
    at: float
    seq: int
    href: str


class Listing:
    """What stands under `/records` and `/changes`."""

    def __init__(self, reads: Callable[[], Store | Reader], *, manifest: Manifest, base: str, tags: Tags) -> None:
        self._reads = reads
        self._manifest = manifest
        self._base = base
        self._tags = tags

    def records(self, request: Request) -> Answer:
        """`GET /records/<type>[/<key>[/history]]`."""
        depth(request, 2, 3, 4)
        type_name = self._type(key_from_path(request.path[1]))
        if len(request.path) == 2:
            return self._tags.tagged(request, lambda: self._page(request, type_name))
        key = key_from_path(request.path[2])
        if len(request.path) == 3:
            return self._one(request, type_name, key)
        if request.path[3] != "history":
            raise NotFound("only …/history follows a record's key")
        return self._tags.tagged(request, lambda: self._history(request, type_name, key))

    def changes(self, request: Request) -> Answer:
        """`GET /changes?from=&to=`: what became of each record that is not the same at both moments."""
        depth(request, 1)
        request.only("from", "to", "type", "limit", "after", "diff")
        return self._tags.tagged(request, lambda: self._changes(request))

    def href(self, type_name: str, key: str) -> str:
        """Where a record is found."""
        return f"{self._base}records/{key_to_path(type_name)}/{key_to_path(key)}"

    def fact(self, fact: Fact) -> dict[str, Any]:
        """A fact as it is answered."""
        return {**msgspec.to_builtins(fact), "href": self.href(fact.type, fact.key)}

    def _page(self, request: Request, type_name: str) -> Answer:
        request.only("filter", "q", "order", "limit", "after", "as_of", "fields", "count")
        store = self._reads()
        limit, after, fields = asked.limit_of(request), asked.after_of(request), asked.fields_of(request)
        where, as_of = asked.filter_of(request), asked.moment_of(request, "as_of", store)
        words = asked.words_of(request)
        if words is not None:
            if "order" in request.query or asked.flag_of(request, "count"):
                raise BadRequest("records that are searched for come best first, and are not counted")
            return json_answer(self._found(type_name, words, where, as_of, limit=limit, after=after, fields=fields))
        order = request.query.get("order", "key")
        page = (
            store.records(type_name, limit=limit, after=after, order=order, where=where, as_of=as_of, fields=fields)
            if fields
            else store.verbatim(type_name, limit=limit, after=after, order=order, where=where, as_of=as_of)
        )
        document: dict[str, Any] = {"records": [self._shown(one) for one in page.records], "next": page.next}
        if asked.flag_of(request, "count"):
            count = store.count(type_name, where=where, as_of=as_of)
            document |= {"count": count.count, "count_is_exact": count.is_exact}
        return json_answer(document)

    def _found(
        self,
        type_name: str,
        words: str,
        where: Filter | None,
        as_of: AsOf | None,
        *,
        limit: int,
        after: str | None,
        fields: Sequence[Path],
    ) -> dict[str, Any]:
        """The best of those that have the words, and match; a page may hold fewer than its limit, or none."""
        store, types = self._reads(), self._manifest.types
        spec = spec_of(types, type_name)
        search = Search(store.rows, types, parse_query(words), only=(type_name,), as_of=as_of, is_counted=False)
        found = search.page(limit=min(limit, HITS_MAX), after=after)
        judge = None if where is None else predicate(where, spec)
        records = []
        for hit in found.hits:
            record = hit.record
            if judge and not judge(record.value, record.common):
                continue
            shown = projected(record, fields, spec) if fields else record
            records.append({**msgspec.structs.asdict(self._shown(shown)), **_why(hit)})
        return {"records": records, "next": found.next}

    def _one(self, request: Request, type_name: str, key: str) -> Answer:
        request.only("as_of", "fields")
        store = self._reads()
        fields = asked.fields_of(request)
        record = store.record(type_name, key, as_of=asked.moment_of(request, "as_of", store))
        if record is None:
            raise NotFound(f"there is no {type_name} {key[:80]!r}")
        tag = self._tags.of(record.seq)
        if is_current(request, tag):
            return not_modified(tag)
        shown = projected(record, fields, spec_of(self._manifest.types, type_name)) if fields else record
        return json_answer(self._shown(shown), headers=cache_headers(tag))

    def _history(self, request: Request, type_name: str, key: str) -> Answer:
        request.only("limit", "after", "as_of", "diff")
        store = self._reads()
        limit, after, as_of = asked.limit_of(request), asked.after_of(request), asked.moment_of(request, "as_of", store)
        page = store.history(type_name, key, limit=limit, after=after, as_of=as_of)
        if not page.facts and after is None:
            raise NotFound(f"there is no {type_name} {key[:80]!r}")
        facts = [self.fact(fact) for fact in page.facts]
        if asked.flag_of(request, "diff"):
            before = [*page.facts[1:], store.previous(page.facts[-1])] if page.facts else []
            for document, fact, earlier in zip(facts, page.facts, before, strict=True):
                document["diff"] = (
                    None if _is_let_go(earlier, fact.causation) else differences(_said(earlier), _said(fact))
                )
        return json_answer({"facts": facts, "next": page.next})

    def _changes(self, request: Request) -> Answer:
        store = self._reads()
        only = request.query.get("type")
        page = store.changes(
            asked.moment_of(request, "from", store),
            asked.moment_of(request, "to", store),
            limit=asked.limit_of(request),
            after=asked.after_of(request),
            type_name=None if only is None else self._type(only),
        )
        changes = [{**msgspec.to_builtins(one), "href": self.href(one.type, one.key)} for one in page.changes]
        if asked.flag_of(request, "diff"):
            for document, one in zip(changes, page.changes, strict=True):
                earlier = None if one.before is None else self._at(one.before)
                later = self._at(one.seq)
                document["diff"] = (
                    None if _is_let_go(earlier, one.before) else differences(_said(earlier), _said(later))
                )
        return json_answer({"changes": changes, "next": page.next})

    def _at(self, seq: int) -> Fact | None:
        found = self._reads().facts(seq - 1, limit=1)
        return found[0] if found and found[0].seq == seq else None

    def _shown(self, record: Record | Verbatim) -> _Shown:
        href = self.href(record.type, record.key)
        return _Shown(record.key, record.value, record.common, record.at, record.seq, href)

    def _type(self, type_name: str) -> str:
        """The name, where it is that of a type: one that the manifest declares, or one that some program wrote."""
        if type_name not in self._manifest.types and not self._reads().has_type(type_name):
            known = ", ".join(self._manifest.types) or "none"
            raise NotFound(f"this service has no type {type_name[:64]!r}; it has {known}")
        return type_name


def _is_let_go(earlier: Fact | None, named: object) -> bool:
    """Whether there was a version before that is not kept any more, so that nobody can say what differs from it."""
    return earlier is None and named is not None


def _said(fact: Fact | None) -> dict[str, Any]:
    """What a fact says, as the pointers of a difference lead into it; a tombstone, and no fact, say nothing."""
    return {name: {} if fact is None else getattr(fact, name) for name in _DIFFERING}


def _why(hit: Hit) -> dict[str, Any]:
    """Where the words stand in what was found."""
    return {"rank": hit.rank, "title": msgspec.to_builtins(hit.title), "snippet": msgspec.to_builtins(hit.rest)}
