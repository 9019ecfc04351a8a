"""The journal of grants: numbers are used once, files are sealed, and nobody can wait for themselves."""

from __future__ import annotations

import ast
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from panachain.consent.pending import PendingGrant
from panachain.crypto.keys import Seed
from panachain.errors import ConfigurationError, DiskError, PolicyUnknownError, TransactionError
from panachain.model.actors import PolicyId
from panachain.model.policy import OnChainPolicy
from panachain.private_files import make_private_folder
from panachain.sdk import grants
from panachain.sdk.grant_journal import GrantJournal
from panachain.sdk.policies import OwnPolicies
from tests.twin.world import World
from tests.unit.consent.test_offer import OFFER, OTHER, PATIENT
from tests.unit.consent.test_pending import prepared
from tests.unit.sdk.helpers import again, grant


@pytest.fixture
def journal(tmp_path: Path) -> GrantJournal:
    return GrantJournal(tmp_path, PATIENT)


@pytest.fixture(scope="module")
def pending() -> PendingGrant:
    return PendingGrant.of(OFFER, prepared(), due=0)


class TestFiles:
    def test_what_is_written_is_read_until_it_is_forgotten(self, journal: GrantJournal, pending: PendingGrant) -> None:
        journal.write(pending)
        assert journal.read() == [pending]
        journal.forget(pending)
        journal.forget(pending)
        assert journal.read() == []

    def test_another_patients_is_named_and_not_read(self, tmp_path: Path, pending: PendingGrant) -> None:
        GrantJournal(tmp_path, PATIENT).write(pending)
        with pytest.raises(ConfigurationError, match=r"00000007\.sealed can't be read"):
            GrantJournal(tmp_path, OTHER).read()

    @pytest.mark.parametrize(
        "content", ["", "[]", "{}", '{"next": -1}', '{"next": "7"}', '{"next": true}', "[" * 9000], ids=range(7)
    )
    def test_a_damaged_number_is_named_and_found_again(
        self, tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        journal = GrantJournal(tmp_path, PATIENT)
        make_private_folder(tmp_path / "terms")
        make_private_folder(tmp_path / "grants")
        for name in ("terms/00000000.sealed", "terms/00000002.sealed", "grants/00000003.sealed.damaged-2"):
            (tmp_path / name).touch()
        # Of nobody's number: behind such a gap no policy is found.
        (tmp_path / "grants" / "00000099.sealed").touch()
        (tmp_path / "policies.json").write_text(content)
        assert journal.next_index() == 4
        assert "policies.json can't be read" in caplog.text
        journal.use_index(4)
        assert (tmp_path / "policies.json.damaged").read_text() == content
        assert journal.next_index() == 5

    @pytest.mark.parametrize("digit", "0189")
    def test_another_number_than_was_written_is_noticed(self, tmp_path: Path, digit: str) -> None:
        journal = GrantJournal(tmp_path, PATIENT)
        journal.use_index(6)
        text = (tmp_path / "policies.json").read_text()
        (tmp_path / "policies.json").write_text(text.replace('"next": 7', f'"next": {digit}'))
        # Nothing lies there that tells more; the chain is asked from there on.
        assert journal.next_index() == 0

    def test_a_number_of_a_program_of_before_counts(self, tmp_path: Path) -> None:
        (tmp_path / "policies.json").write_text('{"schema": "panachain/policies/1", "next": 7}')
        assert GrantJournal(tmp_path, PATIENT).next_index() == 7

    def test_what_may_be_read_later_is_not_set_aside(self, journal: GrantJournal, pending: PendingGrant) -> None:
        journal.write(pending)
        with patch("panachain.sdk.grant_journal.read_regular", side_effect=OSError(24, "Too many open files")):
            (one,) = journal.look()[1]
            assert not journal.put_aside(one).is_aside
        assert journal.read() == [pending]

    def test_what_was_set_aside_is_never_written_over(self, journal: GrantJournal, pending: PendingGrant) -> None:
        for number in range(3):
            journal.write(pending)
            path = journal._path(pending)
            path.write_bytes(b"%d" % number)
            (one,) = journal.look()[1]
            assert journal.put_aside(one).is_aside
        assert [one.read_bytes() for one in sorted(path.parent.glob("*damaged*"))] == [b"0", b"1", b"2"]
        assert journal.aside() == [pending.index]

    def test_numbers_follow_each_other_over_restarts(self, tmp_path: Path) -> None:
        assert GrantJournal(tmp_path, PATIENT).next_index() == 0
        GrantJournal(tmp_path, PATIENT).use_index(0)
        assert GrantJournal(tmp_path, Seed(b"x" * 32)).next_index() == 1

    def test_a_full_disk_is_an_error_of_its_own(self, journal: GrantJournal) -> None:
        with patch("os.replace", side_effect=OSError(28, "No space left on device")), pytest.raises(DiskError):
            journal.use_index(3)


class TestLock:
    @pytest.mark.timeout(60)
    def test_a_thread_that_would_wait_for_itself_is_told(self, tmp_path: Path) -> None:
        first, second = GrantJournal(tmp_path, PATIENT), GrantJournal(tmp_path, PATIENT)
        with first.exclusive():
            for journal in (first, second):
                with pytest.raises(RuntimeError, match="locked by this very thread"), journal.exclusive():
                    pass
        with second.exclusive():
            pass

    @pytest.mark.timeout(60)
    def test_another_thread_waits(self, journal: GrantJournal) -> None:
        order: list[str] = []

        def other() -> None:
            with journal.exclusive():
                order.append("other")

        with journal.exclusive():
            thread = threading.Thread(target=other)
            thread.start()
            order.append("this")
        thread.join()
        assert order == ["this", "other"]

    def test_is_free_again_after_an_error(self, journal: GrantJournal) -> None:
        with pytest.raises(ValueError, match="no"), journal.exclusive():
            raise ValueError("no")
        with journal.exclusive():
            pass


class TestTheWayBackIntoTheLock:
    """Finishing a grant takes back the policy that it replaces: this went through the patient and back to the lock."""

    @pytest.mark.timeout(120)
    def test_a_replaced_policy_that_a_reorganisation_took_away_is_an_error_and_no_deadlock(self, world: World) -> None:
        old = grant(world)
        with (
            patch.object(OwnPolicies, "take_back", side_effect=TransactionError("no relay")),
            pytest.raises(TransactionError),
        ):
            world.patient.reissue(old.policy_id)

        policies = world.network.mainchain.policies
        real = policies.policies_of

        def without_old(ids: list[PolicyId]) -> dict[PolicyId, OnChainPolicy]:
            return {one: policy for one, policy in real(ids).items() if one != old.policy_id}

        with patch.object(policies, "policies_of", without_old), pytest.raises(PolicyUnknownError):
            again(world).settle()
        # It came back, and the same call does what was left to do.
        (replaced,) = again(world).settle()
        assert [view.status.name for view in world.patient.policies()] == ["REVOKED", "ACTIVE"]
        assert replaced.policy_id == list(world.patient.policies())[1].policy_id

    @pytest.mark.timeout(120)
    def test_a_step_that_called_another_grant_would_be_told(self, world: World) -> None:
        old = grant(world)
        patient = world.patient

        def back(*_: object, **__: object) -> None:
            patient.settle()

        with patch.object(OwnPolicies, "take_back", back), pytest.raises(RuntimeError, match="this very thread"):
            patient.reissue(old.policy_id)

    def test_grants_are_given_nothing_that_leads_back(self) -> None:
        """Their constructor takes parts and one draw of random numbers, and no call of a session's."""
        tree = ast.parse(Path(grants.__file__).read_text())
        (init,) = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
        kinds = {ast.unparse(arg.annotation) for arg in [*init.args.args[1:], *init.args.kwonlyargs] if arg.annotation}
        assert kinds == {
            *("Network", "Seed", "Address", "Path", "Proxies", "OwnPolicies", "ReceivedRequests", "OwnLanes", "Delay"),
        }
