"""Where a proxy's database is: URLs that show no password, private files, connections that leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from panachain.errors import ConfigurationError
from panachain.private_files import private_file
from panachain.service.database import Place
from panachain.service.proxy.database import LOCK_TIMEOUT, open_engine


def test_a_password_in_the_urls_query_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="password in its query") as caught:
        Place("postgresql+psycopg://db/log?user=proxy&password=hush-hush", tmp_path).url("its database")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://host/x", "://", "postgresql+psycopg://h:notaport/x"])
def test_another_database_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError):
        Place(url, tmp_path).url("its database")


def test_a_file_name_is_of_sqlite_and_below_the_folder(tmp_path: Path) -> None:
    made = Place("proxy.sqlite", tmp_path).url("its database")
    assert (made.get_backend_name(), made.database) == ("sqlite", str(tmp_path / "proxy.sqlite"))


def test_sqlite_overwrites_what_it_deletes_and_waits_for_others(tmp_path: Path) -> None:
    engine = open_engine(Place("proxy.sqlite", tmp_path).url("its database"))
    with engine.begin() as db:
        settings = [
            db.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("secure_delete", "journal_mode", "synchronous", "busy_timeout")
        ]
    engine.dispose()
    assert settings == [1, "wal", 2, 1000 * LOCK_TIMEOUT]


def test_a_private_file_is_made_for_this_user_only_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "proxy.sqlite"
    private_file(path)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    path.write_bytes(b"rows")
    path.chmod(0o644)
    private_file(path)
    assert (path.stat().st_mode & 0o777, path.read_bytes()) == (0o600, b"rows")
