"""What a connector in Python stands on: `run`, streams and what they yield, routes, a session to the outside."""

from connectors.sdk.addresses import is_loopback_host, is_public_host
from connectors.sdk.connector import run
from connectors.sdk.context import Context
from connectors.sdk.messages import Again, Cursor, Delete, Message, Note, Partial, Progress, Put, Unfit
from connectors.sdk.routes import events_in, route
from connectors.sdk.session import AnswerTooLarge, Session, checked, retry_after_s, text_of
from connectors.sdk.streams import Stream, stream
from connectors.sdk.unanswered import why_unanswered
from core.records import content_type_of
from core.store import Sample

__all__ = [
    "Again",
    "AnswerTooLarge",
    "Context",
    "Cursor",
    "Delete",
    "Message",
    "Note",
    "Partial",
    "Progress",
    "Put",
    "Sample",
    "Session",
    "Stream",
    "Unfit",
    "checked",
    "content_type_of",
    "events_in",
    "is_loopback_host",
    "is_public_host",
    "retry_after_s",
    "route",
    "run",
    "stream",
    "text_of",
    "why_unanswered",
]
