"""Connections to PostgreSQL, 15 to 18, set up alike for every program, and what its errors are called.

A copy of a chain and the databases of proxies, relays and issuers come from here. A message names the cause, such as
"password authentication failed", and never a password, a parameter or a row. SQLAlchemy is imported when it is needed:
commands start without it. Follows PostgreSQL's documentation (appendix "Error Codes", "Parameter Key Words" of libpq).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from panachain.errors import ConfigurationError

if TYPE_CHECKING:
    # For its type only: see above.
    from sqlalchemy import URL, Connection, Engine

OLDEST: Final = 150000
"""The oldest server that is supported, as `server_version_num` counts: PostgreSQL 15."""
INSTALL: Final = "pip install 'panachain[postgresql]' into the Python that runs this"
"""What whoever lacks the driver has to do."""
_CONNECT_TIMEOUT: Final = 10
"""Seconds until a server that doesn't answer is given up."""
_SILENCE: Final = 30
"""Seconds after which a connection whose other end is silent is lost, at both ends."""
_TELLING: Final = frozenset({"08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"})
"""Classes of SQLSTATE whose message tells of the server, the account or the statement, and never quotes a value.

Those of data (22), of constraints (23) and all others do: only their names are told.
"""
_KEPT_ALIVE: Final = ("tcp_keepalives_idle", "tcp_keepalives_interval")
_ON_DISK: Final = (
    # Whoever turned it off for the whole server meant other databases: what a service says is kept, is on disk.
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)


def read_url(text: str, what: str) -> URL:
    """Return a URL that was read.

    Args:
        text: as SQLAlchemy takes it, such as `postgresql+psycopg://user@host/database`.
        what: whose database it is, for messages.

    Raises:
        ConfigurationError: it can't be read, is of another database, or its query holds a password.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Without its cause: the message quotes the URL, which may hold a password.
        raise ConfigurationError(f"the URL of {what} can't be read") from None
    if url.get_backend_name() != "postgresql":
        raise ConfigurationError(f"{what} is kept in SQLite or PostgreSQL, not {url.get_backend_name()}")
    if "password" in url.query:
        # Only the one before the host is left out where the URL is shown.
        raise ConfigurationError(f"the URL of {what} holds a password in its query", hint="name a file that holds it")
    return url


def open_engine(url: URL, what: str, *, connections: int, lock_timeout: int) -> Engine:
    """Return connections to a database; nothing is asked of it yet.

    Args:
        url: from `read_url`.
        what: whose database it is, for messages.
        connections: how many are kept; as many more may be opened for a while.
        lock_timeout: seconds that a statement waits for other ones.

    Raises:
        ConfigurationError: the driver that the URL names isn't installed or isn't supported.
    """
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import ArgumentError

    # The name alone stands for psycopg2, which nothing here speaks to.
    driver = url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url
    if driver.get_driver_name() != "psycopg":
        raise ConfigurationError(
            f"the URL of {what} can't be used: its driver is {driver.get_driver_name()}, not psycopg",
            hint="write it as postgresql+psycopg://user@host/name",
        )
    settings = {
        "connect_timeout": _CONNECT_TIMEOUT,
        "tcp_user_timeout": 1000 * _SILENCE,
        "keepalives_idle": _SILENCE,
        # A server in the locale C says SQL_ASCII, and text would come as bytes.
        "client_encoding": "utf8",
        "application_name": "panachain",
    }
    try:
        engine = create_engine(
            driver,
            pool_size=connections,
            max_overflow=connections,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=settings,
        )
    except ImportError as exc:
        raise ConfigurationError(
            f"{what} is a PostgreSQL database, and its driver psycopg can't be loaded: {exc}", hint=INSTALL
        ) from exc
    except ArgumentError as exc:
        raise ConfigurationError(f"the URL of {what} can't be used: {type(exc).__name__}") from exc

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        check_version(connection.info.server_version, what)
        # A machine that lost its power holds its locks until the server notices, by default for two hours.
        kept_alive = ", ".join(f"set_config('{name}', '{_SILENCE}', false)" for name in _KEPT_ALIVE)
        connection.execute(f"SELECT set_config('lock_timeout', '{lock_timeout}s', false), {kept_alive}")
        connection.execute(_ON_DISK)
        connection.commit()

    return engine


def check_version(number: int, what: str) -> None:
    """Check that a server is new enough.

    Raises:
        ConfigurationError: it isn't.
    """
    if number < OLDEST:
        raise ConfigurationError(
            f"the server of {what} is PostgreSQL {number // 10000}, and {OLDEST // 10000} is the oldest that will do",
            hint="upgrade the server",
        )


def cause(error: BaseException, *, secret: str = "") -> str:
    """Return what an error of SQLAlchemy's or of the driver's came from, without any value that was written.

    Args:
        error: as it was raised.
        secret: the password, which isn't told whatever the message quotes.
    """
    original: Any = getattr(error, "orig", None) or error
    name = type(original).__name__
    state = getattr(original, "sqlstate", None)
    if state is None:
        # Before a connection stands the message is libpq's own: host, port, account and what the server said.
        told = str(original) if name in ("OperationalError", "ConnectionTimeout") else ""
    else:
        name = f"{name}, SQLSTATE {state}"
        told = str(original.diag.message_primary or "") if state[:2] in _TELLING else ""
    text = f"{told.strip().splitlines()[0]} ({name})" if told.strip() else name
    return text.replace(secret, "[password]") if secret else text


class Session:
    """One transaction under way: statements with `?` for each value, as SQLite writes them."""

    def __init__(self, connection: Connection) -> None:
        """Take the connection that the transaction runs on."""
        self._connection = connection

    def run(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Run a statement, and return its rows."""
        return self._connection.exec_driver_sql(statement.replace("?", "%s"), tuple(values))

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row."""
        found = [tuple(row) for row in rows]
        if found:
            self._connection.exec_driver_sql(statement.replace("?", "%s"), found)
