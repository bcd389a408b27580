"""Why a request had no answer, in words for the owner: judged by what was raised, never by its text."""

from __future__ import annotations

import socket
import ssl

import requests

CHAIN_LENGTH_MAX = 10

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (ssl.SSLCertVerificationError, "its certificate is not valid"),
    (ssl.SSLError, "no secure connection came about"),
    (socket.gaierror, "no such name is known"),
    (ConnectionRefusedError, "nothing listens there"),
    (requests.exceptions.ProxyError, "the proxy does not let us through"),
    (TimeoutError, "it took too long"),
    (requests.Timeout, "it took too long"),
)


def why_unanswered(error: BaseException) -> str:
    """The end of "example.org did not answer: …"

    >>> why_unanswered(requests.ReadTimeout("read timed out"))
    'it took too long'
    """
    chain = _chain(error)
    return next((told for cls, told in _REASONS if any(isinstance(one, cls) for one in chain)), "the connection broke")


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and len(chain) < CHAIN_LENGTH_MAX:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain
