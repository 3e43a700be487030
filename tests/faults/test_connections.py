"""A connection that can't be made is called by its name, with the variable that cures it, and no secret is shown.

A fault that is found later is one more line of `SETTINGS` or `CONNECTIONS`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import bookings_analytics as ba
from bookings_analytics.fetch.client import Answer, BookingsClient
from bookings_analytics.fetch.rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY, PASSWORD = "made-up-key", "secret-password"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def ask(base_url: str) -> Answer:
    studio = ba.Studio("mitte", base_url=base_url, api_key=KEY)

    async def one() -> Answer:
        async with BookingsClient(studio, rate_limit=RateLimit(1000)) as reader:
            return await reader.bookings(17, max_attempts=1)

    return asyncio.run(one())


# Name: (variables, what the refusal says).
SETTINGS: dict[str, tuple[dict[str, str], str]] = {
    "a port of letters": ({"HTTPS_PROXY": f"http://me:{PASSWORD}@proxy:port"}, "HTTPS_PROXY .* is not the address"),
    "no host": ({"HTTPS_PROXY": "http://"}, "HTTPS_PROXY .* is not the address"),
    "another kind": ({"HTTPS_PROXY": f"socks5://me:{PASSWORD}@proxy:1080"}, "HTTPS_PROXY .* http://host:port"),
    "spaces": ({"HTTPS_PROXY": f"http://me:{PASSWORD}@pro xy:3128"}, "HTTPS_PROXY .* is not the address"),
    "not even a URL": ({"https_proxy": f"http://[{PASSWORD}"}, "HTTPS_PROXY .* is not the address"),
    "a password with #": ({"HTTPS_PROXY": f"http://me:my@{PASSWORD}#1@proxy:3128"}, "HTTPS_PROXY .* %-escapes"),
    "a password with /": ({"HTTPS_PROXY": f"http://me:1/{PASSWORD}@proxy:3128"}, "HTTPS_PROXY .* %-escapes"),
    "a password with ?": ({"HTTPS_PROXY": f"http://{PASSWORD}?2@proxy:3128"}, "HTTPS_PROXY .* %-escapes"),
    "no such file": ({"SSL_CERT_FILE": "{place}/none.pem"}, "SSL_CERT_FILE is .*none.pem.* No such file"),
    "a folder": ({"SSL_CERT_FILE": "{place}"}, "SSL_CERT_FILE is .* can't be read as certificates"),
    "no certificates": ({"SSL_CERT_FILE": "{place}/notes.txt"}, "SSL_CERT_FILE is .*notes.txt.* can't be read"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_variable_that_can_not_be_used_is_named_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "notes.txt").write_text("no certificate")
    variables, says = SETTINGS[name]
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value.replace("{place}", str(tmp_path)))
    with pytest.raises(ba.ConfigurationError, match=says) as raised:
        ba.fetch_bookings(
            [17], studios=ba.Studio("mitte", base_url="https://acme.example", api_key=KEY), progress=False
        )
    assert PASSWORD not in str(raised.value)
    assert raised.value.result is not None
    assert raised.value.result.fetches["outcome"].to_list() == ["not_fetched"]


class Server(NamedTuple):
    port: int
    received: list[bytes]


@contextmanager
def serving(answer: bytes, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Answer every request alike, over TLS if there is a context."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener.getsockname()[1], [])

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with suppress(OSError), plain:
                    connection = context.wrap_socket(plain, server_side=True) if context else plain
                    with connection:
                        server.received.append(connection.recv(65_536))
                        connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"


@pytest.fixture
def own_certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate that its own server signed, and that server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, key_file = tmp_path / "own.pem", tmp_path / "key.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return file, context


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def proxy_refused(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{closed_port()}")
    return "https://acme.example"


def proxy_without_scheme(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{closed_port()}")
    return "https://acme.example"


# Name: (sets the environment and returns the base URL, the fault's name, what to check).
CONNECTIONS: dict[str, tuple[Callable[[pytest.MonkeyPatch], str], str, str]] = {
    "a proxy that refuses": (proxy_refused, "the proxy did not connect", "Check HTTPS_PROXY, .* NO_PROXY"),
    "a proxy without scheme": (proxy_without_scheme, "the proxy did not connect", "Check HTTPS_PROXY"),
    "a name nobody knows": (
        lambda _: "https://no-such-host.invalid",
        r"its host name is not known \(DNS\)",
        "BOOKINGS_BASE_URL.*HTTPS_PROXY",
    ),
    "a port nobody serves": (
        lambda _: f"https://127.0.0.1:{closed_port()}",
        "the connection was refused",
        "BOOKINGS_BASE_URL",
    ),
}


@pytest.mark.parametrize("name", CONNECTIONS)
def test_a_connection_that_fails_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    prepare, says, check = CONNECTIONS[name]
    with pytest.raises(ba.ConnectionFailedError, match=rf"{says}.*{check}") as raised:
        ask(prepare(monkeypatch))
    assert PASSWORD not in str(raised.value)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("scheme", ["", "http://", f"http://me:{PASSWORD}@"])
def test_a_proxy_that_refuses_to_connect_is_named_and_one_without_scheme_is_http(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with serving(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}127.0.0.1:{proxy.port}")
        with pytest.raises(
            ba.ConnectionFailedError, match=r"the proxy did not connect.*407.*Check HTTPS_PROXY"
        ) as raised:
            ask("https://acme.example")
    assert proxy.received[0].startswith(b"CONNECT acme.example:443")
    assert KEY.encode() not in b"".join(proxy.received)
    assert PASSWORD not in str(raised.value)


def test_a_certificate_nobody_here_trusts_is_named_and_the_variable_cures_it(
    monkeypatch: pytest.MonkeyPatch, own_certificate: tuple[Path, ssl.SSLContext]
) -> None:
    file, context = own_certificate
    with serving(OK, context) as server:
        with pytest.raises(ba.ConnectionFailedError, match=r"its certificate is not trusted here.*set SSL_CERT_FILE"):
            ask(f"https://127.0.0.1:{server.port}")
        assert not server.received, "the key never left"
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert ask(f"https://127.0.0.1:{server.port}") == Answer([], 1)


def test_a_server_without_encryption_is_named() -> None:
    with serving(OK) as server:
        with pytest.raises(ba.ConnectionFailedError, match=r"no encrypted connection could be made.*BOOKINGS_BASE_URL"):
            ask(f"https://127.0.0.1:{server.port}")
        assert KEY.encode() not in b"".join(server.received)
