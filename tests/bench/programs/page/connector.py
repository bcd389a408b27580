"""One page by Flask, as most small web programs begin.

Under the core it is greeted on stdin; with a port as its argument it listens there, as any other proxy asks of it.
"""

import json
import sys
import threading

import flask
from werkzeug.serving import WSGIRequestHandler, make_server

app = flask.Flask("page")


class Quiet(WSGIRequestHandler):
    def log(self, *args):
        pass


@app.get("/", defaults={"path": ""})
@app.get("/<path:path>")
def page(path):
    return "x" * 200


def main():
    is_told = len(sys.argv) > 1
    if not is_told:
        sys.stdin.readline()
    server = make_server("127.0.0.1", int(sys.argv[1]) if is_told else 0, app, threaded=True, request_handler=Quiet)
    if is_told:
        server.serve_forever()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port}), flush=True)
    sys.stdin.read()


main()
