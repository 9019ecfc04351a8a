"""Key rotation on a real network: contracts, storage proofs, copies of the chains, and proxies that go on running."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from panachain.chain import proven
from panachain.cli.main import main
from panachain.model.actors import Role
from panachain.sdk import open_actor
from panachain.sdk.profiles import create_profile, load_profile
from tests.support import PASSPHRASE, World

pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def actors(world: World) -> dict[str, Any]:
    """A hospital, a patient and a practitioner of their own: others' tests want theirs as they registered."""
    made = {}
    for name, role in (
        ("turning-hos", Role.HOSPITAL),
        ("turning-pat", Role.PATIENT),
        ("turning-doc", Role.PRACTITIONER),
    ):
        create_profile(world.home, name, role, PASSPHRASE)
        made[name] = open_actor(world.network, load_profile(world.home, name), PASSPHRASE)
        made[name].register()
    made["turning-pat"].pair("turning-hos")
    return made


def upload(actor: Any, folder: Path, number: int) -> None:
    place = folder / f"{number}"
    place.mkdir()
    (place / "note.txt").write_text(f"note {number}")
    actor.upload([place], "turning-pat", category="laboratory")


def test_every_role_changes_keys_and_everything_is_read_afterwards(
    world: World, actors: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hospital, patient, _doctor = actors.values()
    until = int(time.time()) + 86_400
    upload(hospital, tmp_path, 1)
    before = patient.grant("turning-doc", ["laboratory"], until=until)
    settings = {"PANACHAIN_HOME": str(world.home), "PANACHAIN_PASSPHRASE_FILE": str(world.passphrase_file)}

    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        for name in ("turning-hos", "turning-doc"):
            for _ in range(2):
                assert main(["--profile", name, "key", "rotate", "--yes", "--json"]) == 0
                told = json.loads(capsys.readouterr().out)
                assert told["schema"] == "panachain/key-rotation/1"
        assert main(["--profile", "turning-doc", "key", "history", "--json"]) == 0
        listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(one["generation"], one["state"]) for one in listed] == [(2, "current"), (1, "ending"), (0, "ending")]
        patch.setenv("PANACHAIN_PASSPHRASE_FILE", str(world.home / "devnet" / "proxies.pass"))
        for config in sorted((world.home / "devnet").glob("proxy-*/proxy.json")):
            assert main(["proxy", "rotate-keys", "--config", str(config), "--yes", "--json"]) == 0
        capsys.readouterr()

    fresh = {name: open_actor(world.network, load_profile(world.home, name), PASSPHRASE) for name in actors}
    upload(fresh["turning-hos"], tmp_path, 2)
    after = fresh["turning-pat"].grant("turning-doc", ["laboratory"], until=until)

    for policy in (before, after):
        assert len(list(fresh["turning-doc"].open(policy))) == 2
    # What was folded is what storage commits to.
    main_chain, side = world.network.mainchain, world.network.sidechain
    public = [one for one in main_chain.actors.find() if one.key_changes]
    assert {one.role for one in public} == {Role.HOSPITAL, Role.PROXY}
    kept = proven.prove_actors(main_chain, main_chain.nodes.head(), [one.address for one in public])
    assert all(one.fits(actor) for one, actor in zip(kept, public, strict=True))
    (changed,) = [one for one in side.identities.find() if one.key_changes]
    assert len(changed.key_changes) == 2
    (identity,) = proven.prove_identities(side, side.nodes.head(), [changed.address])
    assert identity.fits(changed)
    assert not identity.fits(changed.changed(bytes(32), changed.key_changes[0]))
