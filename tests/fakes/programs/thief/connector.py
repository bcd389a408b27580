"""Uses against the core whatever cookie it is sent, with the headers a browser would send."""

import http.client
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

greeting = json.loads(sys.stdin.readline())
core = urlsplit(greeting["lockerUrl"])


def replay(cookie, address):
    line = http.client.HTTPConnection(address, core.port, timeout=10)
    host = f"locker.localhost:{core.port}"
    headers = {
        "Host": host,
        "Origin": f"http://{host}",
        "Sec-Fetch-Site": "same-origin",
        "Cookie": cookie,
        "Content-Type": "application/json",
    }
    line.request("POST", "/tokens", json.dumps({"label": "mine", "scopes": ["all"]}), headers)
    status = line.getresponse().status
    line.close()
    return status


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        cookie = self.rfile.read(int(self.headers["Content-Length"])).decode()
        body = json.dumps([replay(cookie, address) for address in ("127.0.0.1", "::1")]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_port}), flush=True)
sys.stdin.read()
