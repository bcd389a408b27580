from flask import Response, request

from connectors.sdk import Put, route
from core.model.errors import Conflict


@route("/echo/<word>", methods=["GET", "POST"])
def echo(context, word):
    return {
        "word": word,
        "actor": request.headers.get("X-Locker-Actor"),
        "body": request.get_data(as_text=True),
        "base": context.base,
    }


@route("/keep", methods=["POST"])
def keep(context):
    commit = context.save([Put(type="thing", value=request.get_json())])
    return Response(str(commit.new), status=201)


@route("/refuse")
def refuse(context):
    raise Conflict("not like this", remedy="Otherwise.")


@route("/break")
def broken(context):
    raise ZeroDivisionError("a secret of the connector")
