"""One small ASGI application behind one outer server: `python -m tests.bench._outer <server> <port>`."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
import uvloop

from core.gateway import FrontLimits, open_listener, server_config

HOST = "127.0.0.1"
ANSWER = bytes(200)
HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", b"200")]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read the body to its end, then answer 200 bytes."""
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": ANSWER})


def uvicorn_alone(port: int) -> None:
    """uvicorn as it comes, with the same loop and parser."""
    uvicorn.run(app, host=HOST, port=port, loop="uvloop", http="httptools", lifespan="off", log_level="warning",
                access_log=False)  # fmt: skip


def uvicorn_of_the_core(port: int) -> None:
    """uvicorn with the core's own limits in front."""
    config = server_config(app, host=HOST, port=port, limits=FrontLimits(), stop_grace_s=1)
    uvloop.run(uvicorn.Server(config).serve(sockets=[open_listener(HOST, port)]))


def granian(port: int) -> None:
    """Granian with one worker, on the same loop."""
    from granian import Granian
    from granian.constants import Interfaces, Loops

    Granian(f"{__package__}._outer:app", address=HOST, port=port, interface=Interfaces.ASGI, loop=Loops.uvloop,
            log_enabled=False).serve()  # fmt: skip


SERVERS = {"uvicorn, as in the core": uvicorn_of_the_core, "uvicorn alone": uvicorn_alone, "granian": granian}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](int(sys.argv[2]))
