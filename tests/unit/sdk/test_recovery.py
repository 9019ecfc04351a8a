"""A backup: shares say whose they are, drills keep nothing of them, and each fault is told apart."""

from __future__ import annotations

import itertools
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from panachain.crypto import keystore
from panachain.crypto.keys import Seed, address_of
from panachain.errors import (
    ConfigurationError,
    DiskError,
    LockedError,
    ShareDamagedError,
    ShareError,
    ShareRepeatedError,
    SharesMixedError,
    SharesTooFewError,
    SharesWrongError,
    UsageError,
)
from panachain.model.actors import Role
from panachain.sdk.profiles import Profile, create_profile
from panachain.sdk.recovery import (
    FORMAT,
    MAXIMUM_SIZE,
    Recovery,
    RecoveryShare,
    check_together,
    read_file,
    read_share,
    restored,
)
from panachain.sdk.results.recovery import DRILL_AFTER

NOW = 1_800_000_000


@pytest.fixture(autouse=True)
def _cheap_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "create", lambda path, *_, **_named: path.write_bytes(b"{}"))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., tuple[Profile, Seed]]:
    def made(name: str = "me", role: Role = Role.PATIENT) -> tuple[Profile, Seed]:
        seed = Seed.random()
        return create_profile(tmp_path / "home", name, role, "secret", seed=seed), seed

    return made


@pytest.fixture
def mine(make: Callable[..., tuple[Profile, Seed]]) -> tuple[Profile, Seed]:
    return make()


def backup(mine: tuple[Profile, Seed], now: int = NOW) -> Recovery:
    profile, seed = mine
    return Recovery(profile, lambda: seed, clock=lambda: float(now))


class TestShares:
    def test_bring_along_whose_they_are_and_read_back_from_their_text(self, mine: tuple[Profile, Seed]) -> None:
        made = backup(mine).shares(threshold=2, of=3)
        for share in made:
            again = read_share(share.reveal())
            assert again == share
            assert (again.handle, again.address, again.role) == (mine[0].handle, mine[0].address, Role.PATIENT)
        for pair in itertools.permutations(made, 2):
            seed, address = restored(pair)
            assert (seed.reveal(), address) == (mine[1].reveal(), mine[0].address)

    def test_a_repr_shows_nothing_of_their_value(self, mine: tuple[Profile, Seed]) -> None:
        share = backup(mine).shares()[0]
        assert " ".join(share.words()[2:5]) not in repr(share)
        assert "_words" not in repr(share)

    def test_typed_words_are_enough_and_say_nothing_of_whose_they_are(self, mine: tuple[Profile, Seed]) -> None:
        share = read_share("\n".join(backup(mine).shares()[0].words()))
        assert (share.address, share.role, share.handle) == (None, None, "")
        with pytest.raises(ShareError, match="whose"):
            share.reveal()

    def test_without_the_seed_there_are_none(self, mine: tuple[Profile, Seed]) -> None:
        with pytest.raises(LockedError):
            Recovery(mine[0]).shares()
        assert Recovery(mine[0]).status().state == "none"

    def test_numbers_that_do_not_fit_leave_nothing(self, mine: tuple[Profile, Seed]) -> None:
        with pytest.raises(UsageError):
            backup(mine).shares(threshold=1, of=3)
        assert backup(mine).status().state == "none"

    def test_a_disk_that_refuses_is_told_and_no_share_is_handed_out(
        self, mine: tuple[Profile, Seed], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuses(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("panachain.sdk.recovery.write_private", refuses)
        with pytest.raises(DiskError, match="No space left"):
            backup(mine).shares()


class TestToldApart:
    def test_shares_of_another_actor(self, make: Callable[..., tuple[Profile, Seed]]) -> None:
        mine, other = backup(make()).shares(), backup(make("other")).shares()
        with pytest.raises(SharesMixedError):
            restored([mine[0], other[1]])
        with pytest.raises(SharesWrongError, match="not of"):
            backup(make("third")).test(mine[:2])

    def test_two_sets_of_one_actor(self, mine: tuple[Profile, Seed]) -> None:
        first, second = backup(mine).shares(), backup(mine).shares()
        with pytest.raises(SharesMixedError, match="different sets"):
            backup(mine).test([first[0], second[1]])
        assert backup(mine).test(first[:2]).set != backup(mine).test(second[:2]).set

    def test_one_share_with_the_address_of_another_actor(self, make: Callable[..., tuple[Profile, Seed]]) -> None:
        mine, (other, _) = backup(make()).shares(), make("other")
        forged = RecoveryShare(mine[1].share, Role.PATIENT, other.address)
        with pytest.raises(SharesMixedError, match="different actors"):
            check_together([mine[0], forged])
        # And where all of them lie about it, the seed doesn't.
        both = [RecoveryShare(share.share, Role.PATIENT, other.address) for share in mine[:2]]
        with pytest.raises(SharesWrongError, match="make the seed of account"):
            restored(both)

    def test_too_few_and_one_twice(self, mine: tuple[Profile, Seed]) -> None:
        made = backup(mine).shares(threshold=3, of=5)
        for few in itertools.combinations(made, 2):
            with pytest.raises(SharesTooFewError, match="2 of the 3"):
                backup(mine).test(few)
        with pytest.raises(ShareRepeatedError):
            backup(mine).test([made[0], made[1], made[1]])
        assert backup(mine).status().state == "untested"


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "error"),
        [
            (f"{FORMAT} patient", ShareDamagedError),
            (f"{FORMAT} patient 0x{'1' * 40} {'academic ' * 32}", ShareDamagedError),
            (f"{FORMAT} king 0x{'1' * 40} {'academic ' * 32}academic", ShareDamagedError),
            (f"{FORMAT} patient 0x{'a' * 40} {'academic ' * 32}academic", ShareDamagedError),
            (f"{FORMAT} patient 0x{'1' * 40} {'academic ' * 32}academic", ShareDamagedError),
            ("\x1b]0;title\x07" * 40, ShareDamagedError),
            ("x" * (MAXIMUM_SIZE + 1), ShareDamagedError),
            ("panachain/share/2 patient", ShareDamagedError),
        ],
        ids=range(8),
    )
    def test_a_hostile_one_is_bounded_and_told(self, text: str, error: type[ShareError]) -> None:
        with pytest.raises(error) as caught:
            read_share(text)
        assert "\x1b" not in str(caught.value)

    def test_several_in_one_text_are_refused(self, mine: tuple[Profile, Seed]) -> None:
        made = backup(mine).shares()
        with pytest.raises(SharesMixedError, match="several"):
            read_share(made[0].reveal() + "\n" + made[1].reveal())
        # The same one twice is one, as on a page that has it in two places.
        assert read_share(made[0].reveal() + "\n" + made[0].reveal()) == made[0]

    def test_files_are_bounded(self, tmp_path: Path, mine: tuple[Profile, Seed]) -> None:
        path = tmp_path / "share"
        with pytest.raises(UsageError, match="there is no file"):
            read_file(path)
        path.mkdir()
        with pytest.raises(DiskError):
            read_file(path)
        path.rmdir()
        for content in (b"", b" \n", b"\xff\xfe", b"x" * (MAXIMUM_SIZE + 1)):
            path.write_bytes(content)
            with pytest.raises(ShareDamagedError):
                read_file(path)
        share = backup(mine).shares()[0]
        path.write_text(share.reveal())
        assert read_file(path) == share


class TestDrillAndStatus:
    def test_a_drill_keeps_the_day_and_the_numbers_and_nothing_of_the_shares(self, mine: tuple[Profile, Seed]) -> None:
        made = backup(mine).shares(threshold=2, of=3)
        assert backup(mine).status().state == "untested"
        report = backup(mine, NOW + 5).test([made[2], made[0]])
        assert (report.used, report.tested_at) == ((1, 3), NOW + 5)
        status = backup(mine).status()
        assert (status.state, status.tested, status.tested_at, status.advice) == ("tested", (1, 3), NOW + 5, "")
        assert backup(mine).test([made[1], made[2]]).used == (2, 3)
        assert backup(mine).status().tested == (1, 2, 3)
        path = mine[0].folder / "recovery.json"
        kept = path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for share in made:
            assert " ".join(share.words()[1:4]) not in kept
            assert share.words()[20] not in json.dumps(json.loads(kept)["sets"][0] | {"set": ""})

    def test_a_drill_is_due_again_after_half_a_year(self, mine: tuple[Profile, Seed]) -> None:
        made = backup(mine).shares()
        backup(mine).test(made[:2])
        assert backup(mine, NOW + DRILL_AFTER - 1).status().state == "tested"
        due = backup(mine, NOW + DRILL_AFTER).status()
        assert due.state == "due"
        assert due.advice

    def test_a_set_of_another_machine_can_be_tried(self, mine: tuple[Profile, Seed]) -> None:
        made = backup(mine).shares()
        (mine[0].folder / "recovery.json").unlink()
        backup(mine).test(made[1:])
        status = backup(mine).status()
        assert (status.state, status.tested, status.count, status.made_at) == ("tested", (2, 3), 0, 0)

    def test_earlier_sets_are_counted_and_a_forgotten_one_is_not(self, mine: tuple[Profile, Seed]) -> None:
        backup(mine).shares()
        newest = backup(mine).shares(threshold=3, of=4)
        assert (backup(mine).status().earlier, backup(mine).status().threshold) == (1, 3)
        backup(mine).forget(newest[0].set)
        assert (backup(mine).status().earlier, backup(mine).status().threshold) == (0, 2)

    def test_a_report_says_where_they_went(self, mine: tuple[Profile, Seed]) -> None:
        made = backup(mine).shares()
        report = backup(mine).report(made, [Path("a"), Path("b"), Path("c")])
        assert (report.threshold, report.count, report.made_at, report.files) == (2, 3, NOW, ("a", "b", "c"))

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "panachain/recovery-sets/1"}', "x" * 70_000])
    def test_a_damaged_file_is_told(self, mine: tuple[Profile, Seed], content: str) -> None:
        (mine[0].folder / "recovery.json").write_text(content)
        with pytest.raises(ConfigurationError):
            backup(mine).status()


def test_the_address_is_what_the_seed_makes(mine: tuple[Profile, Seed]) -> None:
    assert address_of(mine[1].account_key()) == mine[0].address
