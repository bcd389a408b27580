from pathlib import Path

from connectors.sdk import stream
from core.model.errors import Reauthorise


@stream("thing")
def things(context, cursor):
    token = context.credentials["token"]
    while Path("slow").exists():
        context.pause(0.01)
    if Path("renews").exists():
        # As a kind does it whose tokens are good for an hour: before the source refuses them.
        context._service.credentials = lambda: {"token": f"{token}+renewed"}
    if Path("refused").exists() or token.endswith("+old"):
        raise Reauthorise("example.org did not accept the sign-in")
    yield {"id": "header", "account": context.account, "length": len(context.session.headers["Authorization"])}
