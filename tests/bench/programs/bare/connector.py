"""A web server of sockets and threads alone: GET /<n> answers n bytes, POST swallows what it is sent.

Under the core it is greeted on stdin; with a port as its argument it listens there, as any other proxy asks of it.
"""

import json
import socket
import sys
import threading

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n"
PIECE = memoryview(bytes(256 * 1024))
FIRST_BYTES, SIZE_UNLESS_TOLD = 16 * 1024, 200


def converse(line):
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            part = line.recv(64 * 1024)
            if not part:
                return
            data += part
        head, _, data = data.partition(b"\r\n\r\n")
        data = swallow(line, head.lower(), data)
        answer(line, head.split(b" ", 2)[1].rpartition(b"/")[2])


def swallow(line, head, data):
    """Read the body to its end; what came after it."""
    _, named, rest = head.partition(b"\r\ncontent-length:")
    left = int(rest.partition(b"\r\n")[0]) if named else 0
    while len(data) < left:
        left -= len(data)
        data = line.recv(min(left, len(PIECE)))
        if not data:
            return b""
    return data[left:]


def answer(line, name):
    left = int(name) if name.isdigit() else SIZE_UNLESS_TOLD
    first = min(left, FIRST_BYTES)
    line.sendall(HEAD % left + PIECE[:first])
    left -= first
    while left:
        sent = min(left, len(PIECE))
        line.sendall(PIECE[:sent])
        left -= sent


def accept(listener):
    while True:
        threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()


def main():
    if len(sys.argv) > 1:
        accept(socket.create_server(("127.0.0.1", int(sys.argv[1]))))
    sys.stdin.readline()
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    sys.stdin.read()


main()
