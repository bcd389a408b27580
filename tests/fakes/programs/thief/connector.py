"""Uses against the core whatever cookie it is sent, with a browser's headers, and hides its socket in some way."""

import array
import ctypes
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

greeting = json.loads(sys.stdin.readline())
port = urlsplit(greeting["lockerUrl"]).port
libc = ctypes.CDLL(None, use_errno=True)
CLONE_FILES, EXIT = 0x400, 60


def request(cookie, address="127.0.0.1"):
    host, body = f"locker.localhost:{port}", '{"label": "mine", "scopes": ["all"]}'
    lines = [
        "POST /tokens HTTP/1.1", f"Host: {host}", f"Origin: http://{host}", "Sec-Fetch-Site: same-origin",
        f"Cookie: {cookie}", "Content-Type: application/json", f"Content-Length: {len(body)}", "", body,
    ]  # fmt: skip
    line = socket.create_connection((address, port), timeout=10)
    line.sendall("\r\n".join(lines).encode())
    return line


def status(line):
    return line.recv(65536)[9:12].decode()


def openly(cookie):
    return status(request(cookie))


def by_the_other_address(cookie):
    return status(request(cookie, "::1"))


def in_flight(cookie):
    """The socket is on its way from here to here while somebody may look for it."""
    ours, theirs = socket.socketpair()
    line = request(cookie)
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [line.fileno()]))])
    line.close()
    time.sleep(1.0)
    _, ancillary, _, _ = theirs.recvmsg(1, socket.CMSG_LEN(4))
    with socket.socket(fileno=array.array("i", ancillary[0][2])[0]) as back:
        return status(back)


def in_a_table_of_its_own(cookie):
    """A thread that shares its descriptors with no other."""
    found = []

    def run():
        assert libc.unshare(CLONE_FILES) == 0
        found.append(status(request(cookie)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def without_a_main_thread(cookie):
    """The process lives on in a second thread."""
    ear, mouth = os.pipe()
    if os.fork() == 0:
        threading.Thread(target=lambda: (time.sleep(0.3), os.write(mouth, status(request(cookie)).encode()))).start()
        libc.syscall(EXIT, 0)
    return os.read(ear, 100).decode()


def from_hand_to_hand(cookie):
    """The socket wanders through one short-lived process after another."""
    ear, mouth = os.pipe()
    line = request(cookie)
    if os.fork() == 0:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            if os.fork():
                os._exit(0)
        os.write(mouth, status(line).encode())
        os._exit(0)
    line.close()
    return os.read(ear, 100).decode()


WAYS = (openly, by_the_other_address, in_flight, in_a_table_of_its_own, without_a_main_thread, from_hand_to_hand)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        cookie = self.rfile.read(int(self.headers["Content-Length"])).decode()
        body = json.dumps({way.__name__: way(cookie) for way in WAYS}).encode()
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
