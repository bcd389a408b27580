import json
import socket
import struct
import zlib

from flask import request

from connectors.sdk import route


@route("/knock", methods=["POST"])
def knock(context):
    """What a store's server answers this very process."""
    body = b'{"op":"stats"}'
    with socket.socket(socket.AF_UNIX) as store:
        store.settimeout(10)
        try:
            store.connect(request.get_json()["path"])
            store.sendall(struct.pack(">I", len(body)) + body + struct.pack(">I", zlib.crc32(body)))
            size = struct.unpack(">I", store.recv(4, socket.MSG_WAITALL))[0]
            return json.loads(store.recv(size, socket.MSG_WAITALL))
        except (OSError, struct.error) as err:
            return {"ok": False, "error_code": type(err).__name__}
