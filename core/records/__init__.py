"""The data routes of a service over its store: the same code in its child and, where the core writes, in the core."""

from core.records.answers import (
    Answer,
    Header,
    Request,
    Route,
    json_answer,
    parse_query,
    problem_answer,
)
from core.records.data import DataApi
from core.records.media import content_type_of
from core.records.retaining import Erasing, Policies, erase, set_policies
from core.records.sending import read_body, send_answer

__all__ = [
    "Answer",
    "DataApi",
    "Erasing",
    "Header",
    "Policies",
    "Request",
    "Route",
    "content_type_of",
    "erase",
    "json_answer",
    "parse_query",
    "problem_answer",
    "read_body",
    "send_answer",
    "set_policies",
]
