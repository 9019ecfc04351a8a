"""What was sent and isn't proven yet is on the disk before it leaves, and stays until it is proven."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from panachain.errors import ConfigurationError, DiskError
from panachain.model.actors import Address, PolicyId
from panachain.sdk.revocation_orders import Order, RevocationOrders

FIRST, SECOND = PolicyId("0x" + "11" * 20), PolicyId("0x" + "22" * 20)
PROXY = Address("0x" + "33" * 20)


@pytest.fixture
def orders(tmp_path: Path) -> RevocationOrders:
    return RevocationOrders(tmp_path / "revoked.json")


def test_one_goes_from_sent_to_proven(orders: RevocationOrders, tmp_path: Path) -> None:
    assert (orders.all(), orders.of(FIRST)) == ({}, None)
    assert orders.begin(FIRST, 7) == Order(7)
    orders.prove(FIRST)
    # Asked for again, it stays what it is.
    assert orders.begin(FIRST, 7) == Order(7, proven=True)
    assert RevocationOrders(tmp_path / "revoked.json").all() == {FIRST: Order(7, proven=True)}
    assert (tmp_path / "revoked.json").stat().st_mode & 0o777 == 0o600


def test_what_refused_before_is_forgotten_and_what_was_signed_isnt(orders: RevocationOrders) -> None:
    orders.begin(FIRST, 0)
    orders.served(FIRST, {PROXY: "served late"})
    orders.refused(FIRST, {Address("0x" + "44" * 20): "not revoked"})
    assert set(orders.all()[FIRST].alarms) == {PROXY, "0x" + "44" * 20}
    orders.refused(FIRST, {})
    orders.served(FIRST, {})
    assert orders.all()[FIRST].alarms == {PROXY: "served late"}


def test_what_nobody_asked_for_is_not_made_up(orders: RevocationOrders) -> None:
    orders.prove(FIRST)
    orders.refused(FIRST, {PROXY: "no"})
    orders.served(FIRST, {PROXY: "no"})
    assert orders.all() == {}


def test_two_programs_keep_what_the_other_one_wrote(tmp_path: Path) -> None:
    """Each has the file to itself from reading to writing, whatever else one profile runs beside it."""
    path, count = tmp_path / "revoked.json", 40
    work = """if True:
        import sys
        from pathlib import Path
        from panachain.sdk.revocation_orders import RevocationOrders
        first, count = int(sys.argv[2]), int(sys.argv[3])
        sys.stdin.readline()
        for number in range(first, first + count):
            RevocationOrders(Path(sys.argv[1])).begin(f"0x{number:040x}", number)
    """
    programs = [
        subprocess.Popen([sys.executable, "-c", work, str(path), str(first), str(count)], stdin=subprocess.PIPE)
        for first in (0, count)
    ]
    for program in programs:
        # Both have imported everything before either begins.
        assert program.stdin is not None
        program.stdin.write(b"\n")
        program.stdin.close()
    assert [program.wait(60) for program in programs] == [0, 0]
    assert {order.index for order in RevocationOrders(path).all().values()} == set(range(2 * count))


def test_two_sessions_of_one_program_keep_each_others(tmp_path: Path) -> None:
    path, ids = tmp_path / "revoked.json", [PolicyId(f"0x{number:040x}") for number in range(40)]
    threads = [
        threading.Thread(target=RevocationOrders(path).begin, args=(one, number)) for number, one in enumerate(ids)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(RevocationOrders(path).all()) == set(ids)


def test_several_at_once_keep_each_other(orders: RevocationOrders) -> None:
    ids = [PolicyId(f"0x{number:040x}") for number in range(20)]
    threads = [threading.Thread(target=orders.begin, args=(one, number)) for number, one in enumerate(ids)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(orders.all()) == set(ids)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"{}", b'{"policies": 1}', b'{"policies": {"0x": {}}}', b"[" * 3000),
        b'{"policies": {"0x": {"index": Infinity, "proven": false, "withdrawn": false, "refusals": {}, "late": {}}}}',
    ],
)
def test_a_damaged_file_is_told(orders: RevocationOrders, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "revoked.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match="can't be read"):
        orders.begin(SECOND, 1)


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="can't be written down"):
        RevocationOrders(tmp_path / "nowhere" / "revoked.json").begin(FIRST, 0)


def test_what_was_withdrawn_is_remembered_and_never_sent(orders: RevocationOrders) -> None:
    orders.withdraw(FIRST, 3)
    assert orders.of(FIRST) == Order(3, withdrawn=True)
    assert orders.begin(FIRST, 3).withdrawn


class TestTwice:
    """The file lies there twice: what is damaged of it is made anew, and nothing is taken away."""

    @pytest.mark.parametrize("place", ["flipped", "cut", "empty", "folder", "gone"])
    def test_a_damaged_file_is_made_anew_of_its_copy(
        self, orders: RevocationOrders, tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        orders.begin(FIRST, 7)
        orders.begin(SECOND, 8, heir=FIRST, fell="it fell")
        path, whole = tmp_path / "revoked.json", orders.all()
        content = path.read_bytes()
        harmed = {"flipped": content.replace(b": 7,", b": 6,"), "cut": content[:-9], "empty": b""}.get(place)
        path.unlink()
        if place == "folder":
            path.mkdir()
        elif harmed is not None:
            path.write_bytes(harmed)
        assert RevocationOrders(path).all() == whole
        assert path.read_bytes() == content
        assert ("was gone" if place == "gone" else "was damaged") in caplog.text
        aside = tmp_path / "revoked.json.damaged"
        assert aside.exists() is (place != "gone")
        assert harmed is None or aside.read_bytes() == harmed

    def test_a_damaged_copy_is_made_anew_by_the_next_change(self, orders: RevocationOrders, tmp_path: Path) -> None:
        orders.begin(FIRST, 7)
        (tmp_path / "revoked.json.copy").write_bytes(b"{")
        orders.prove(FIRST)
        (tmp_path / "revoked.json").unlink()
        assert orders.of(FIRST) == Order(7, proven=True)

    def test_where_both_are_damaged_neither_is_written_over(self, orders: RevocationOrders, tmp_path: Path) -> None:
        orders.begin(FIRST, 7)
        for name in ("revoked.json", "revoked.json.copy"):
            (tmp_path / name).write_bytes(b"{")
        for call in (orders.all, lambda: orders.begin(SECOND, 8)):
            with pytest.raises(ConfigurationError, match="nor can its copy") as caught:
                call()
            assert "move both away" in caught.value.hint
        assert {path.read_bytes() for path in tmp_path.glob("revoked.json*")} == {b"{"}

    def test_another_number_than_was_written_revokes_nothing(self, orders: RevocationOrders, tmp_path: Path) -> None:
        orders.begin(FIRST, 7)
        for name in ("revoked.json", "revoked.json.copy"):
            content = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(content.replace(b": 7,", b": 3,"))
        with pytest.raises(ConfigurationError, match="it isn't what was written"):
            orders.all()

    def test_why_a_grant_fell_stays_until_it_was_told(self, orders: RevocationOrders) -> None:
        orders.begin(FIRST, 7)
        assert orders.begin(FIRST, 7, fell="why").fell == "why"
        orders.withdraw(FIRST, 7)
        assert orders.all()[FIRST] == Order(7, withdrawn=True, fell="why")
        orders.told(FIRST)
        assert orders.all()[FIRST] == Order(7, withdrawn=True)
