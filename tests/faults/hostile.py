"""A server that answers one customer as no server should, and every other customer well."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bookings_analytics import Studio

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY: Final = 'made-up"key\\with/every&kind'  # of character that somebody escapes
VICTIM: Final = 2  # the customer who is answered badly
_GOOD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"


@dataclass(frozen=True)
class Answer:
    """What the server sends for its victim.

    Attributes:
        sends: The first bytes.
        drips: What follows every few milliseconds until the client has gone; nothing closes the connection.
    """

    sends: bytes
    drips: bytes = b""


def answer(
    body: bytes = b"", *, status: str = "200 OK", headers: str = "", drips: bytes = b"", length: int | None = None
) -> Answer:
    """Put an answer together: status line, headers, the body's length, body."""
    announced = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {announced}\r\n{headers}\r\n"
    return Answer(head.encode("latin-1") + body, drips)


@contextmanager
def serving(hostile: Answer) -> Iterator[tuple[Studio, list[bytes]]]:
    """Serve on loopback; yield the studio, and the first line of every request that came."""
    lines: list[bytes] = []
    closing = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            received = b""
            while not closing.is_set():
                while b"\r\n\r\n" not in received:
                    if not (more := connection.recv(65_536)):
                        return
                    received += more
                request, _, received = received.partition(b"\r\n\r\n")
                lines.append(request.split(b"\r\n")[0])
                if lines[-1].startswith(b"HEAD"):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                elif f"customerId={VICTIM} ".encode() not in lines[-1]:
                    connection.sendall(_GOOD)
                else:
                    connection.sendall(hostile.sends)
                    while hostile.drips and not closing.wait(0.005):
                        connection.sendall(hostile.drips)
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield Studio("hostile", base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", api_key=KEY), lines
    finally:
        closing.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
