"""The body of an answer: read whole, unpacked, and never larger than any true answer."""

from __future__ import annotations

import zlib
from typing import Final

import httpx

MAX_BODY: Final = 16 * 2**20  # bytes, packed and unpacked


class UnreadableBodyError(Exception):
    """A body that is packed in another way than asked for, packed badly, or too large."""


async def read_body(response: httpx.Response) -> bytes:
    """Read a body whole; of an answer with an error status, nothing if it can't be read: the status says enough.

    Unpacked here, not by httpx, which would unpack as often as the header says before any size could be looked at.

    Args:
        response: The answer, its body not read yet.

    Raises:
        UnreadableBodyError: It is packed in another way than asked for, packed badly, or too large.
    """
    try:
        return await _unpacked(response)
    except UnreadableBodyError:
        if response.status_code == httpx.codes.OK:
            raise
        return b""


async def _unpacked(response: httpx.Response) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise UnreadableBodyError(f"it is packed as {encoding[:50]!r}, and only gzip was asked for")
    gunzip = _Gunzip() if encoding.endswith("gzip") else None
    body, received = bytearray(), 0
    # Not aiter_raw(), which refuses the answers of transports that have read them already.
    async for chunk in response.stream:  # type: ignore[union-attr]  # of an asynchronous transport
        received += len(chunk)
        body += chunk if gunzip is None else gunzip.unpack(chunk, MAX_BODY + 1 - len(body))
        if max(len(body), received) > MAX_BODY:
            raise UnreadableBodyError(f"it is larger than {MAX_BODY} bytes")
    if gunzip is not None and received and not gunzip.complete:
        raise UnreadableBodyError("its compression is broken: it ends too early")
    return bytes(body)


class _Gunzip:
    """A gzip stream of one or several members, unpacked no further than asked."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    @property
    def complete(self) -> bool:
        return self._member.eof

    def unpack(self, packed: bytes, most: int) -> bytes:
        """Unpack the next bytes, to `most` bytes at most; beyond, the rest is lost."""
        unpacked = bytearray()
        while packed and len(unpacked) < most:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
            try:
                unpacked += self._member.decompress(packed, most - len(unpacked))
            except zlib.error as error:
                raise UnreadableBodyError(f"its compression is broken: {error}") from None
            packed = self._member.unconsumed_tail or self._member.unused_data
        return bytes(unpacked)
