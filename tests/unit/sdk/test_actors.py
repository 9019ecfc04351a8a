"""`connect` returns the right actor for a profile, follows the settings, and forgets the seed at its end."""

from __future__ import annotations

import ast
import json
import os
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

import panachain
import panachain.sdk
from panachain import AnyActor, Hospital, Network, Patient, Practitioner, Registrar, Researcher, connect
from panachain.chain.contracts import actor_registry, identity_registry
from panachain.cli import identity
from panachain.crypto import keystore
from panachain.crypto.keys import Seed
from panachain.errors import ConfigurationError, LockedError, PanaChainError, UnknownActorError, UsageError
from panachain.model.actors import Role, Status
from panachain.passphrase import COMMAND, FILE
from panachain.sdk import actors
from panachain.sdk.actors import open_actor
from panachain.sdk.profiles import create_profile, load_profile

PASSPHRASE = "correct horse battery"
CLASSES = {
    "me": Patient,
    "clinic": Hospital,
    "doctor": Practitioner,
    "study": Researcher,
    "registrar": Registrar,
}


class FakeNetwork(Network):
    """A network that nobody asks anything."""

    def __init__(self, home: Path) -> None:
        from panachain.config import Config

        self.home, self.config, self.closed = home, Config.load({"home": str(home)}, {}), 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a profile of each role; key stores without the cost of scrypt."""
    folder = tmp_path_factory.mktemp("home")

    def create(path: Path, seed: Seed, passphrase: str, *, drawn: bool = False) -> None:
        path.write_text(json.dumps([seed.reveal().hex(), passphrase]))

    def unlock(path: Path, passphrase: str) -> Seed:
        seed, expected = json.loads(path.read_text())
        if passphrase != expected:
            raise LockedError(f"the key store {path} doesn't open")
        return Seed(bytes.fromhex(seed))

    with patch.object(keystore, "create", create), patch.object(keystore, "open", unlock):
        for name, kind in CLASSES.items():
            create_profile(folder, name, kind.role, PASSPHRASE)
        create_profile(folder, "proxy", Role.PROXY, PASSPHRASE)
        yield folder


@pytest.fixture
def network(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    """The network that the settings name, and no other source of a passphrase."""
    made = FakeNetwork(home)
    monkeypatch.setattr(Network, "open", classmethod(lambda cls, config: made))
    for name in ("PANACHAIN_PROFILE", "PANACHAIN_CONFIG", FILE, COMMAND):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PANACHAIN_HOME", str(home))
    return made


class TestWhoComesOut:
    @pytest.mark.parametrize("name", CLASSES)
    def test_each_profile_is_its_own_class(self, network: FakeNetwork, name: str) -> None:
        with connect(name, passphrase=PASSPHRASE) as actor:
            assert type(actor) is CLASSES[name]
            assert actor.profile.name == name

    @pytest.mark.parametrize("name", CLASSES)
    @pytest.mark.parametrize("as_word", [True, False])
    def test_a_role_alone_finds_the_only_profile_that_fits(
        self, network: FakeNetwork, name: str, as_word: bool
    ) -> None:
        role = CLASSES[name].role
        with connect(role=role.value if as_word else role, passphrase=PASSPHRASE) as actor:
            assert type(actor) is CLASSES[name]

    def test_another_role_than_the_profile_s_is_refused(self, network: FakeNetwork) -> None:
        with pytest.raises(UsageError, match="profile doctor is a practitioner; a patient was asked for"):
            connect("doctor", role="patient", passphrase=PASSPHRASE)

    def test_a_role_that_is_none_is_refused(self, network: FakeNetwork) -> None:
        with pytest.raises(UsageError, match="unknown role 'nurse'"):
            connect("doctor", role="nurse", passphrase=PASSPHRASE)

    def test_an_unknown_profile_is_refused(self, network: FakeNetwork) -> None:
        with pytest.raises(UnknownActorError, match="no profile 'nobody'"):
            connect("nobody", passphrase=PASSPHRASE)

    def test_several_that_fit_are_named(self, network: FakeNetwork) -> None:
        with pytest.raises(UsageError, match="6 profiles could do this: clinic, doctor"):
            connect(passphrase=PASSPHRASE)

    def test_the_settings_profile_acts_when_none_is_named(
        self, network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PANACHAIN_PROFILE", "study")
        with connect(passphrase=PASSPHRASE) as actor:
            assert isinstance(actor, Researcher)

    def test_a_proxy_isn_t_acted_for(self, network: FakeNetwork, home: Path) -> None:
        with pytest.raises(UsageError, match="which the SDK doesn't act for"):
            open_actor(network, load_profile(home, "proxy"), PASSPHRASE)

    def test_the_union_of_all_actors_can_be_named_in_a_program(self) -> None:
        assert set(AnyActor.__args__) == set(CLASSES.values())  # type: ignore[attr-defined]


class TestPassphrase:
    def test_comes_from_a_file(self, network: FakeNetwork, tmp_path: Path) -> None:
        path = tmp_path / "passphrase"
        path.write_text(PASSPHRASE + "\n")
        path.chmod(0o600)
        with connect("me", passphrase_file=path) as actor:
            assert isinstance(actor, Patient)

    def test_comes_from_the_settings(
        self, network: FakeNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "passphrase"
        path.write_text(PASSPHRASE)
        path.chmod(0o600)
        monkeypatch.setenv(FILE, str(path))
        with connect("me") as actor:
            assert isinstance(actor, Patient)

    def test_comes_from_a_descriptor(self, network: FakeNetwork) -> None:
        reader, writer = os.pipe()
        os.write(writer, PASSPHRASE.encode())
        os.close(writer)
        try:
            with connect("me", passphrase_fd=reader) as actor:
                assert isinstance(actor, Patient)
        finally:
            os.close(reader)

    def test_without_any_source_the_profile_stays_locked_and_no_network_is_opened(
        self, network: FakeNetwork, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def opened(*_: object) -> None:
            raise AssertionError("the network was opened for a locked profile")

        monkeypatch.setattr(Network, "open", opened)
        with pytest.raises(LockedError, match="the passphrase of profile me is needed"):
            connect("me")

    def test_two_sources_are_refused(self, network: FakeNetwork) -> None:
        with pytest.raises(UsageError, match="two sources"):
            connect("me", passphrase=PASSPHRASE, passphrase_file="passphrase")

    @pytest.mark.parametrize("given", ["a wrong secret", PASSPHRASE])
    def test_is_in_no_traceback_that_shows_variables(
        self, network: FakeNetwork, given: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if given == PASSPHRASE:
            monkeypatch.setattr(Network, "open", lambda config: (_ for _ in ()).throw(ConfigurationError("no network")))
        with pytest.raises((LockedError, ConfigurationError)) as failure:
            connect("me", passphrase=given)
        # The frame of this test holds it, as that of every program that names it would.
        own = failure.value.__traceback__
        assert own is not None
        shown = "".join(
            traceback.TracebackException(failure.type, failure.value, own.tb_next, capture_locals=True).format()
        )
        assert "Hidden()" in shown
        assert given not in shown

    def test_neither_it_nor_the_seed_is_in_a_repr(self, network: FakeNetwork) -> None:
        with connect("me", passphrase=PASSPHRASE) as actor:
            shown = f"{actor!r} {vars(actor)!r}"
            assert PASSPHRASE not in shown
            assert actor._seed.reveal().hex() not in shown
            assert str(actor._seed.reveal()) not in shown


class TestEnd:
    def test_the_seed_and_the_passphrase_are_forgotten(self, network: FakeNetwork) -> None:
        with connect("me", passphrase=PASSPHRASE) as actor:
            assert actor._seed
        assert not {"_unlocked", "_passphrase"} & set(vars(actor))
        with pytest.raises(UsageError, match="the session of profile 'me' is closed"):
            _ = actor._seed

    def test_what_stands_on_the_seed_is_forgotten_too(self, network: FakeNetwork) -> None:
        with connect("me", role="patient", passphrase=PASSPHRASE) as patient:
            vars(patient)["_anything"] = patient._seed
        assert "_anything" not in vars(patient)

    def test_the_network_that_it_opened_is_closed_once(self, network: FakeNetwork) -> None:
        with connect("me", passphrase=PASSPHRASE):
            assert not network.closed
        assert network.closed == 1

    def test_a_network_that_was_given_stays_open(self, network: FakeNetwork) -> None:
        with connect("me", passphrase=PASSPHRASE, network=network) as actor:
            assert actor.network is network
        assert not network.closed

    def test_a_wrong_passphrase_leaves_no_network_open(self, network: FakeNetwork) -> None:
        with pytest.raises(LockedError):
            connect("me", passphrase="wrong")
        assert network.closed == 1

    def test_a_session_can_be_ended_without_a_with_block(self, network: FakeNetwork) -> None:
        actor = connect("doctor", passphrase=PASSPHRASE)
        actor.close()
        actor.close()
        assert network.closed == 1
        assert repr(actor).startswith("Practitioner(pra-")


class TestRoles:
    """What has a place for each role has one for all of them."""

    def test_a_role_has_a_session_that_everybody_can_import(self) -> None:
        # A proxy is a service (panachain/service/proxy), a group is its members.
        assert actors._PLACES.keys() == set(Role) - {Role.PROXY, Role.GROUP}
        for role, (_, name) in actors._PLACES.items():
            assert actors._class_of(role).role is role
            assert name in panachain.__all__
            assert name in panachain.sdk.__all__

    def test_every_name_that_is_offered_has_its_place(self) -> None:
        for package in (panachain, panachain.sdk):
            assert sorted(package._PLACES) == sorted(package.__all__)
            assert all(getattr(package, name) is not None for name in package.__all__)

    def test_type_checkers_and_the_reference_see_what_programs_see(self) -> None:
        """They don't run `__getattr__`: each name is imported under `TYPE_CHECKING`, too."""
        tree = ast.parse(Path(panachain.__file__).read_text(encoding="utf-8"))
        shown = [node for one in tree.body if isinstance(one, ast.If) for node in ast.walk(one)]
        names = {alias.name for node in shown if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert names == set(panachain.__all__)

    def test_the_command_line_makes_profiles_of_the_same_roles(self) -> None:
        assert set(identity._ROLES) == actors._PLACES.keys()

    def test_a_role_is_registered_on_one_chain(self) -> None:
        public, genuine = set(actor_registry.ROLES.values()), set(identity_registry.ROLES.values())
        assert not public & genuine
        # A group is told by CareGroups.
        assert public | genuine == set(Role) - {Role.GROUP}

    def test_no_two_roles_have_handles_that_begin_alike(self) -> None:
        assert len({role.value[:3] for role in Role}) == len(Role)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (Status.UNKNOWN, "isn't registered"),
        (Status.SUSPENDED, "suspended by the registrar"),
        (Status.REPLACED, "moved to another account"),
    ],
)
def test_only_an_active_actor_acts(home: Path, status: Status, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect("doctor", passphrase=PASSPHRASE, home=home, network=FakeNetwork(home)) as actor:
        monkeypatch.setattr(actor, "whoami", lambda: replace(actor.profile.actor, status=status))
        with pytest.raises(PanaChainError, match=error):
            actor._check_registered()
        monkeypatch.setattr(actor, "whoami", lambda: replace(actor.profile.actor, status=Status.ACTIVE))
        actor._check_registered()
