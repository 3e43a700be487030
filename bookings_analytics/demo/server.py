"""The demo studio over real HTTP on loopback: `serve` for notebooks and tests, `serve_forever` for a terminal."""

from __future__ import annotations

import secrets
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bookings_analytics.demo.api import CLOCK_PATH, Api, LoggedRequest
from bookings_analytics.demo.clock import NOW, StudioClock, checked
from bookings_analytics.demo.faults import Faults, RateLimit, Window
from bookings_analytics.demo.world import SEED, World, make_world
from bookings_analytics.errors import ConfigurationError
from bookings_analytics.studios import Studio

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Callable
    from datetime import datetime
    from types import TracebackType

    import polars as pl

    from bookings_analytics.demo.timetable import Habit

_HOST: Final = "127.0.0.1"


class DemoStudio(Studio):
    """The demo studio, answering over HTTP until it is closed; as a context manager, until the block ends.

    It is a `Studio` and goes wherever one goes. Build it with `serve`.

    Attributes:
        world: What really happens at the studio, for tests.
        clock: Returns the time at the studio: pass it as `clock=` to stamp what is fetched.
        faults: What goes wrong with its API: nothing, until it is switched on.
        requests: The requests it received, the last 100,000.
    """

    def __init__(
        self,
        name: str,
        *,
        world: World,
        clock: Callable[[], datetime],
        rate_limit: RateLimit | None,
        api_key: str | None,
        port: int,
    ) -> None:
        self.world: Final = world
        self.clock: Final = clock
        checked(clock(), name="clock()")
        listener = _listen(port)
        try:
            super().__init__(
                name,
                base_url=f"http://{_HOST}:{listener.getsockname()[1]}",
                api_key=secrets.token_urlsafe(24) if api_key is None else api_key,
            )
        except ConfigurationError:
            listener.close()
            raise
        api = Api(world, key=self.api_key, clock=clock, rate_limit=rate_limit)
        self.faults: Final[Faults] = api.faults
        self.requests: Final[deque[LoggedRequest]] = api.requests
        self._server = _Server(api)
        # Connections queue at the listening socket from now on, so nobody needs to wait for the thread.
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True, name=f"{name} API")
        self._thread.start()

    @property
    def cohorts(self) -> pl.DataFrame:
        """The list of its customers: ``customer_id``, ``cohort``, ``contract``, ``age_group``; one row each."""
        return self.world.cohorts

    @property
    def clock_url(self) -> str:
        """Where it shows its time, for ``BOOKINGS_CLOCK``."""
        return self.base_url + CLOCK_PATH

    @property
    def now(self) -> datetime:
        """The time at the studio (UTC); set it to any time of the studio's months."""
        return self.clock()

    @now.setter
    def now(self, now: datetime) -> None:
        if not isinstance(self.clock, StudioClock):
            raise ConfigurationError("The time of this studio comes from the clock= it was served with: set it there.")
        self.clock.set(now)

    def close(self) -> None:
        """Stop answering. Closing twice does no harm."""
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def serve(
    *,
    name: str = "demo",
    seed: int = SEED,
    now: datetime = NOW,
    clock: Callable[[], datetime] | None = None,
    bookkeeping: Habit = "usual",
    new_id_share: float = 0.0,
    limit: int | None = 1000,
    period: float = 60.0,
    lockout: float = 60.0,
    window: Window = "sliding",
    retry_after: bool = False,
) -> DemoStudio:
    """Start the demo studio on a free port of this machine, with a key made for this run.

    Args:
        name: The studio's name.
        seed: The same seed builds the same people, classes and bookings.
        now: The time at the studio; it stands still until it is set.
        clock: Returns the time at the studio, in place of `now`: a `StudioClock` that runs, or any function that
            returns aware datetimes of the studio's months.
        bookkeeping: How the office keeps its records: ``"usual"``, ``"late"`` or ``"tidy"``; see `World`.
        new_id_share: Share of those who move up from the waiting list whose place gets a new booking id.
        limit: Requests within `period` that are answered; None for no limit.
        period: Seconds that `limit` is for.
        lockout: Seconds for which every request gets 429 after one too many.
        window: Whether `period` slides along or starts anew.
        retry_after: Whether a 429 says how long to wait.

    Raises:
        ConfigurationError: `now`, or what `clock` returns, is not a time of the studio's months.

    Examples:
        >>> from bookings_analytics import demo
        >>> with demo.serve() as studio:
        ...     print(studio.cohorts.height, "customers on", studio.now.date())
        600 customers on 2026-06-17
        >>> with demo.serve(clock=demo.StudioClock(demo.NOW, speed=3600)) as studio:
        ...     print(studio.now > demo.NOW)
        True
    """
    rate_limit = None
    if limit is not None:
        rate_limit = RateLimit(limit=limit, period=period, lockout=lockout, window=window, retry_after=retry_after)
    return DemoStudio(
        name,
        world=make_world(seed, new_id_share=new_id_share, bookkeeping=bookkeeping),
        clock=StudioClock(now) if clock is None else clock,
        rate_limit=rate_limit,
        api_key=None,
        port=0,
    )


def serve_forever(
    *,
    port: int = 8765,
    api_key: str | None = None,
    seed: int = SEED,
    start: datetime = NOW,
    speed: float = 1.0,
) -> None:
    """Serve the demo studio in a terminal until Ctrl-C; its clock runs on from `start`.

    Args:
        port: The port on this machine; 0 for a free one.
        api_key: The key that requests must carry; None makes one.
        seed: The same seed builds the same people, classes and bookings.
        start: The time at the studio when it starts, with a time zone.
        speed: Seconds at the studio for each second here. The API's limit is for a minute of the studio's time.

    Raises:
        ConfigurationError: The port is taken, `start` is not a time of the studio's months, or `speed` is negative.
    """
    clock = StudioClock(start, speed=speed)
    minute = 60 / max(1.0, speed)
    rate_limit = RateLimit(period=minute, lockout=minute)
    with DemoStudio(
        "demo", world=make_world(seed), clock=clock, rate_limit=rate_limit, api_key=api_key, port=port
    ) as studio:
        sys.stdout.write(
            f"The demo studio answers at {studio.base_url} (its time: {studio.now:%Y-%m-%d %H:%M} UTC). Stop: Ctrl-C.\n"
            f"BOOKINGS_STUDIO={studio.name}\nBOOKINGS_BASE_URL={studio.base_url}\n"
            f"BOOKINGS_API_KEY={studio.api_key.reveal()}\nBOOKINGS_CLOCK={studio.clock_url}\n"
        )
        sys.stdout.flush()
        told = False
        with suppress(KeyboardInterrupt):
            while True:
                # Not a wait without end: Ctrl-C may reach the other thread, and would not wake this one.
                time.sleep(0.5)
                if clock.stopped and not told:
                    told = True
                    sys.stdout.write("The studio's last day is reached, and its clock stands still: start it again.\n")
                    sys.stdout.flush()


class _Protocol(H11Protocol):
    """A protocol that hands the connection to the application, which cuts it when a fault asks for that."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        # Headers and body are written one after the other: the body must not wait for the headers' receipt.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    def __init__(self, api: Api) -> None:
        super().__init__(
            uvicorn.Config(
                api,
                loop="asyncio",
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=5,
            )
        )
        self._api = api

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._api.closing.set()
        await super().shutdown(sockets)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port), backlog=2048)
    except OSError as error:
        raise ConfigurationError(f"Port {port} of this machine can't be used: {error}. Choose another port.") from error
