from pathlib import Path

from connectors.sdk import stream
from core.model.errors import Reauthorise


@stream("thing")
def things(context, cursor):
    if Path("refused").exists():
        raise Reauthorise("example.org did not accept the sign-in")
    yield {"id": "header", "account": context.account, "length": len(context.session.headers["Authorization"])}
