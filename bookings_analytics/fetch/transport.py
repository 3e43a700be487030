"""The connection to the API: through the environment's proxy, with its certificates, and what failed by its name."""

from __future__ import annotations

import base64
import os
import re
import socket
import ssl
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from bookings_analytics.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

KEEP_ALIVE: Final = 20.0  # seconds an idle connection is kept

_CHECK_ADDRESS: Final = "Check base_url= (or BOOKINGS_BASE_URL) and the network"
_PROBLEMS: Final[tuple[tuple[tuple[type[BaseException], ...], str, str], ...]] = (
    (
        (ssl.SSLCertVerificationError, aiohttp.ClientConnectorCertificateError),
        "its certificate is not trusted here",
        "If a company's proxy or virus scanner reads along, set SSL_CERT_FILE to the file of its certificates",
    ),
    (
        (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError, httpx.ProxyError),
        "the proxy did not connect",
        "Check HTTPS_PROXY, or name the host in NO_PROXY if it is reached without a proxy",
    ),
    (
        (socket.gaierror, aiohttp.ClientConnectorDNSError),
        "its host name is not known (DNS)",
        f"{_CHECK_ADDRESS}; where only a proxy reaches the internet, set HTTPS_PROXY",
    ),
    ((ConnectionRefusedError,), "the connection was refused", _CHECK_ADDRESS),
    ((aiohttp.ClientSSLError, ssl.SSLError), "no encrypted connection could be made", _CHECK_ADDRESS),
    ((aiohttp.ServerTimeoutError, TimeoutError), "the time was up", "Check the network"),
    ((aiohttp.ServerDisconnectedError, ConnectionResetError), "the connection was closed early", _CHECK_ADDRESS),
    ((aiohttp.ClientPayloadError,), "the answer was cut short", "Check the network"),
    ((aiohttp.ClientResponseError, ValueError), "the answer is not HTTP", _CHECK_ADDRESS),
    ((httpx.TimeoutException,), "the time was up", "Check the network"),  # last: it covers other errors of aiohttp too
)


def connect(url: httpx.URL, connections: int, certificates: ssl.SSLContext) -> AiohttpTransport:
    """Return a transport that connects as the environment says, but never through a proxy to this machine.

    Args:
        url: The API's address.
        connections: How many connections to keep open.
        certificates: Whom to trust.

    Raises:
        ConfigurationError: HTTPS_PROXY can't be used.
    """

    def session() -> aiohttp.ClientSession:
        made = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=certificates, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # aiohttp would send a request again by itself when a kept connection breaks, and the limit would not know.
        made._retry_connection = False  # noqa: SLF001 - there is no public switch; a test counts the requests
        return made

    return AiohttpTransport(verify=certificates, client=session, proxy=_proxy(url))


def certificates() -> ssl.SSLContext:
    """Read which authorities to trust: those the environment names, else the usual ones. It takes 30 ms: read it once.

    Raises:
        ConfigurationError: SSL_CERT_FILE or SSL_CERT_DIR can't be used.
    """
    name = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    if name is None:
        return httpx.create_ssl_context()
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        problem = error.strerror or str(error)
    raise ConfigurationError(
        f"{name} is {os.environ[name]!r}, which can't be read as certificates: {problem}. "
        "Set it to a file in PEM format, or unset it."
    )


def _proxy(url: httpx.URL) -> httpx.Proxy | None:
    """Read the environment's proxy; its address may hold a password, so no error shows it."""
    if url.scheme != "https" or urllib.request.proxy_bypass(url.host):
        return None
    if not urllib.request.getproxies().get("https"):
        return None
    with suppress(ValueError, httpx.InvalidURL):
        return _usable(urllib.request.getproxies()["https"])
    raise ConfigurationError(
        "HTTPS_PROXY (or the system's proxy) is not the address of an HTTP proxy. Set it to http://host:port, "
        "or to http://user:password@host:port with %-escapes for special characters, or unset it."
    )


def _usable(address: str) -> httpx.Proxy:
    url = httpx.URL(address if "://" in address else f"http://{address}")
    if url.scheme not in ("http", "https") or not re.fullmatch(r"[\w.:-]+", url.host):
        raise ValueError("another kind of proxy")
    if url.path not in ("", "/") or url.query or url.fragment:  # a password with / ? or # ends the host too early
        raise ValueError("not the address of a proxy")
    if not (url.username or url.password):
        return httpx.Proxy(url)
    # Not as the URL's user, for which httpx-aiohttp still calls what aiohttp is about to remove.
    credentials = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
    return httpx.Proxy(url.copy_with(userinfo=b""), headers={"Proxy-Authorization": f"Basic {credentials}"})


def explain(error: BaseException) -> tuple[str, str]:
    """Return what broke a connection, by its name, and what to check; neither ends with a full stop.

    Args:
        error: What the transport raised.
    """
    chain = list(_chain(error))
    for kinds, problem, check in _PROBLEMS:
        for each in chain:
            if isinstance(each, kinds):
                return f"{problem} ({type(each).__name__} {each}".strip() + ")", check
    return f"{type(error).__name__} {error}".strip(), _CHECK_ADDRESS


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
