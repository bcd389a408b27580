"""The text of a filter read into its tree: the grammar of Haystack filters and two extensions.

The extensions are `` `Any Name` `` for a name that is not a lower-case word, and the words `in` and `contains`.

    filter   := and ("or" and)*
    and      := term ("and" term)*
    term     := "(" filter ")" | "not" path | "*" | ^symbol | SpecName
              | path [operator literal | "in" list | "contains" literal]
    path     := name ("->" name)*          a first name `common` forces the shared fields, quoted it is a name
    operator := "==" | "!=" | "<" | "<=" | ">" | ">="
    list     := "[" literal ("," literal)* "]" | "(" literal ("," literal)* ")"
    literal  := "text" | 12.5 | 9.23kg | true | false | @ref | `uri` | ^symbol
              | 2026-11-20 | 09:22:49 | 2026-11-20T09:22:49Z
"""

from __future__ import annotations

from core.model.errors import BadRequest
from core.model.filter.matching import is_place
from core.model.filter.tokens import Token, fault, scalar, shown, tokens, unquoted
from core.model.filter.tree import (
    RESERVED,
    And,
    Compare,
    Contains,
    Every,
    Filter,
    Has,
    In,
    Literal,
    Missing,
    Operator,
    Or,
    Path,
    Spec,
    Symbol,
)

FILTER_BYTES_MAX = 4 * 1024
DEPTH_MAX = 32
NODES_MAX = 256
PATH_STEPS_MAX = 16
LIST_PLACES_MAX = 2

_OPERATORS: dict[str, Operator] = {"==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_NULL_CURE = "Nothing equals null, which is missing: write `not name`, or `name` for what is there."


def parse(text: str) -> Filter:
    """The tree of a filter's text; raises BadRequest naming the position and what may stand there.

    >>> parse("stars > 100 and not archived")
    And(terms=(Compare(path=Path(steps=('stars',), is_shared=False), operator='>', literal=Literal(kind='number', \
value=100, unit='')), Missing(path=Path(steps=('archived',), is_shared=False))))
    """
    parser = _Parser(text)
    tree = parser.either()
    parser.finish('"and", "or" or the end')
    return tree


def parse_path(text: str) -> Path:
    """The path that a text writes, as in a filter; raises BadRequest naming the position."""
    parser = _Parser(text)
    path = parser.path()
    parser.finish('"->" or the end')
    return path


def parse_paths(text: str) -> tuple[Path, ...]:
    """The paths that a text lists, by commas; raises BadRequest naming the position.

    >>> [str(path) for path in parse_paths("title, owner->login, common->at")]
    ['title', 'owner->login', 'common->at']
    """
    parser = _Parser(text)
    paths = parser.paths()
    parser.finish('"->", "," or the end')
    return paths


class _Parser:
    def __init__(self, text: str) -> None:
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > FILTER_BYTES_MAX:
            raise BadRequest(f"the filter has {size} bytes, allowed are {FILTER_BYTES_MAX}", remedy="Ask for less.")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise BadRequest("the filter holds half a surrogate pair, which is no letter")
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0
        self._nodes = 0

    def either(self) -> Filter:
        """`and ("or" and)*`."""
        terms = [self._all()]
        while self._took("name", "or"):
            terms.append(self._all())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def path(self) -> Path:
        """`name ("->" name)*`."""
        first = self._next
        is_shared = first.kind == "name" and first.text == "common" and self._tokens[self._at + 1].text == "->"
        if is_shared:
            self._at += 2
        steps = [self._name()]
        while self._took("sign", "->"):
            steps.append(self._name())
        if len(steps) > PATH_STEPS_MAX:
            raise fault(first.place, f"the path has {len(steps)} names, allowed are {PATH_STEPS_MAX}")
        if sum(map(is_place, steps)) > LIST_PLACES_MAX:
            raise fault(first.place, f"the path goes through more than {LIST_PLACES_MAX} places in lists")
        return Path(tuple(steps), is_shared)

    def paths(self) -> tuple[Path, ...]:
        """`path ("," path)*`."""
        paths = [self.path()]
        while self._took("sign", ","):
            paths.append(self.path())
        return tuple(paths)

    def finish(self, expected: str) -> None:
        """Raise BadRequest where something is left."""
        if self._next.kind != "end":
            raise self._unexpected(expected)

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _all(self) -> Filter:
        terms = [self._term()]
        while self._took("name", "and"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _term(self) -> Filter:
        self._count()
        token = self._next
        if self._took("sign", "("):
            return self._inner(token)
        if self._took("sign", "*"):
            return Every()
        if self._took("name", "not"):
            if self._next.text == "(":
                cure = "Write `not name` for what is missing, and != for what differs."
                raise fault(self._next.place, "not stands before a name only", cure)
            return Missing(self.path())
        if token.kind == "symbol":
            self._at += 1
            return Symbol(token.text[1:])
        if token.kind == "spec":
            return self._spec(token)
        return self._relation(self.path())

    def _inner(self, opening: Token) -> Filter:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise fault(opening.place, f"parentheses are nested deeper than {DEPTH_MAX}")
        tree = self.either()
        if not self._took("sign", ")"):
            raise self._unexpected('"and", "or" or ")"')
        self._depth -= 1
        return tree

    def _spec(self, token: Token) -> Filter:
        self._at += 1
        if self._next.kind == "sign" and self._next.text not in (")", "("):
            raise fault(token.place, f"{shown(token)} is the name of a spec", f"Quote the field: `{token.text}`.")
        return Spec(token.text)

    def _relation(self, path: Path) -> Filter:
        token = self._next
        if token.kind == "sign" and token.text in _OPERATORS:
            self._at += 1
            return Compare(path, _OPERATORS[token.text], self._literal())
        if self._took("name", "in"):
            return In(path, self._list())
        if self._took("name", "contains"):
            return Contains(path, self._literal())
        return Has(path)

    def _list(self) -> tuple[Literal, ...]:
        closing = {"[": "]", "(": ")"}.get(self._next.text, "")
        if self._next.kind != "sign" or not closing:
            raise self._unexpected('a list such as ["a", "b"]')
        self._at += 1
        literals = [self._literal()]
        while self._took("sign", ","):
            literals.append(self._literal())
        if not self._took("sign", closing):
            raise self._unexpected(f'"," or "{closing}"')
        return tuple(literals)

    def _name(self) -> str:
        token = self._next
        if token.kind == "tick":
            self._at += 1
            return unquoted(token)
        if token.kind == "name" and token.text not in RESERVED:
            self._at += 1
            return token.text
        cure = f"Quote it: `{token.text}`." if token.kind in ("name", "spec", "scalar") else ""
        raise self._unexpected("a name", cure)

    def _literal(self) -> Literal:
        self._count()
        token = self._next
        self._at += 1
        if token.kind == "text":
            return Literal("text", unquoted(token))
        if token.kind == "scalar":
            return scalar(token)
        if token.kind == "ref":
            return Literal("ref", token.text[1:])
        if token.kind == "symbol":
            return Literal("symbol", token.text[1:])
        if token.kind == "tick":
            return Literal("uri", unquoted(token, as_uri=True))
        if token.kind == "name" and token.text in ("true", "false"):
            return Literal("bool", token.text == "true")
        self._at -= 1
        word = token.text if token.kind in ("name", "spec") else ""
        cure = _NULL_CURE if word == "null" else f'Put text in double quotes: "{word}".' if word else ""
        raise self._unexpected("a text, number, true, false, date, time or @ref", cure)

    def _took(self, kind: str, text: str) -> bool:
        if self._next.kind != kind or self._next.text != text:
            return False
        self._at += 1
        return True

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise fault(self._next.place, f"the filter has more than {NODES_MAX} terms and values")

    def _unexpected(self, expected: str, cure: str = "") -> BadRequest:
        token = self._next
        if token.text in ("AND", "OR", "NOT", "IN"):
            cure = f"Write {token.text.lower()}."
        return fault(token.place, f"expected {expected}, found {shown(token)}", cure)
