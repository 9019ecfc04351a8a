"""A hostile world: honest people work in it while liars of every role do what they can, as chance draws it.

Honest are a patient, a hospital, a clinician and two of three proxies. Against them stand, at once: nodes, stores,
proxies, relays, hospitals, practitioners, patients and strangers, each with the moves in `MOVES`. Everything but the
socket and the EVM is the real code (tests/twin). After each step and at the end the invariants are checked:

1. Plaintext reaches nobody who isn't granted it, by whatever an honest hospital published.
2. No honest user is stopped for longer than `PATIENCE` calls after whatever was in the way has gone, or for longer than
   `REQUESTS` requests to proxies while it is there.
3. Nothing is lost: whatever was published is read by the patient, and by the clinician while a grant is in force.
4. Every culprit is named: what an honest user is told names who did it.
5. Nothing but typed errors comes out.

To add a move: a function of `Hostile` that does it and returns what must appear in what honest users are told if they
notice it at all (or nothing where it can't be noticed), under its role in `MOVES`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

import httpx

from panachain.chain.logs import Event
from panachain.chain.signing import Account
from panachain.consent.receipts import marks_text
from panachain.crypto.keys import Seed
from panachain.errors import (
    BlockNotFoundError,
    ChainUnavailableError,
    PanaChainError,
    PartlyDoneError,
    TransactionError,
    UnknownActorError,
)
from panachain.ipld.cid import CID, RAW
from panachain.model.actors import PolicyId, Role
from panachain.model.block import Block
from panachain.model.policy import PolicyStatus
from panachain.model.transactions import Grant
from panachain.records import merging
from panachain.sdk import granted_records, key_blocks
from panachain.sdk.patient import Patient
from panachain.sdk.profiles import Profile
from panachain.sdk.relay import LocalRelay, Relays, RemoteRelay
from panachain.sdk.submitting import go_on
from tests.hostile import test_hospitals as bad
from tests.hostile.evil_hospital import EvilHospital
from tests.twin.world import NODE, World, actor_of, resource, running_world, seed_of
from tests.unit.sdk.helpers import again, forge

PATIENCE: Final = 2
"""Calls that an honest user makes at most before it works, once nothing is in the way any more."""
REQUESTS: Final = 60
"""Requests to proxies that one call of an honest user takes at most, whatever the proxies do."""
DAY: Final = 86_400
FLOOD: Final = 20
"""Envelopes that a hospital floods a lane with."""
MOST: Final = 14
"""Envelopes of one hospital that an opening asks the proxies for here: more than an honest one has in a history."""
MERGED: Final = 2
"""Manifests of one level that become one of the next here, so that a history of a few uploads has merged ones."""


class Broken(AssertionError):  # noqa: N818
    """An invariant doesn't hold."""


class Hostile:
    """One world, one history."""

    def __init__(self, world: World, chance: random.Random) -> None:
        """Take a world in which everybody is admitted, and what draws."""
        self.world = world
        self.chance = chance
        self.evil = EvilHospital(world)
        world.patient.pair(self.evil.address)
        self.story: list[str] = []
        """What happened, for whoever has to understand a failure."""
        self.published: dict[str, str] = {}
        """Digest of each honest record to its category."""
        self.granted: dict[PolicyId, list[str]] = {}
        """Policies in force, and their categories."""
        self.over: list[PolicyId] = []
        """Policies that were revoked."""
        self.suspects: dict[str, list[str]] = {}
        """By move: texts of which one must be in what honest users are told, should they be told of a failure."""
        self.healing: list[Callable[[], None]] = []
        """What ends what was done for a while."""
        self.asked = 0
        """Requests to proxies."""
        self._numbers = iter(range(10_000))
        self._real_answer = world.answer
        self._noise = random.Random(1)
        """Draws for threads, whose order nobody knows: what happens next doesn't depend on them."""
        world.network.store.name = "evil-store.test"
        self._mangled: set[str] = set()
        self.paired = True
        """Whether the patient is paired with the second hospital."""
        self.ignored: set[PolicyId] = set()
        """Policies that were revoked while a proxy ignored revocations."""
        self._relay_lie: Callable[[httpx.Request], httpx.Response] | None = None
        self._forged = False
        self.vanished: list[str] = []
        """Headers that the patient saw, and that the evil hospital left out of its manifests later."""
        self.heard: list[str] = []
        """What honest users were told of failures."""
        self.seen: dict[PolicyId, str] = {}
        """A header that the clinician opened by each policy in force, since records were moved last."""

    def let(self, move: Callable[[Hostile], Sequence[str]]) -> None:
        """Let a liar make a move, and note who is behind it, beside all that it did before."""
        self.story.append(move.__name__)
        self.suspects.setdefault(move.__name__, []).extend(move(self))

    # Honest steps

    def upload(self) -> None:
        """Publish a record of the patient."""
        category = self.chance.choice(("laboratory", "vitals"))
        self.world._uploads += 1
        folder = self.world.home / f"honest-{self.world._uploads}"
        folder.mkdir()
        (folder / "0.json").write_text(json.dumps(resource(category, 2025, next(self._numbers))))

        def publish() -> None:
            report = again(self.world, "hospital").upload([folder], self.world.patient.address)
            # An earlier attempt may have come through, and said that it didn't.
            for info in report.records:
                self.published[info.digest.hex()] = category
            if report.skipped:
                self.published |= dict(self._records())

        self.honest(publish)

    def grant(self) -> None:
        """Let the clinician read."""
        categories = self.chance.choice((["laboratory"], ["vitals"], ["laboratory", "vitals"]))

        def give() -> None:
            until = self.world.now + 30 * DAY
            made = again(self.world).grant(self.world.clinician.address, categories, until=until)
            self.granted[made.policy_id] = list(categories)

        self.honest(give)
        self.honest(lambda: again(self.world).settle())
        # It grants anew what a rotation had left on the old lanes, because a relay refused.
        self.honest(self._follow)

    def revoke(self) -> None:
        """Take a grant back."""
        self._revoke(rotate=False)

    def rotate(self) -> None:
        """Take a grant back and give its lanes a new generation; whoever else reads them is granted them anew."""
        self._revoke(rotate=True)

    def _revoke(self, *, rotate: bool) -> None:
        if not self.granted:
            return
        policy_id = self.chance.choice(sorted(self.granted))

        def take_back() -> None:
            report = again(self.world).revoke(policy_id, rotate=rotate)
            self.told([str(one) for one in (*report.omissions, *report.unsent)])
            if self.healing:
                return
            if not (report.proven and report.final and (report.rotated or not rotate)):
                raise Broken(f"a revocation is {report.stage}: {report}")

        self.honest(take_back)
        lost = self.granted.pop(policy_id)
        self.over.append(policy_id)
        self.seen.pop(policy_id, None)
        if not self.world.proxies[2].honest:
            self.ignored.add(policy_id)
        if rotate:
            self.story.append(f"rotated the lanes of {lost}")
            # What the report of a rotation says to do where somebody couldn't be granted the new lanes.
            self.honest(lambda: again(self.world).settle())
            self.honest(self._follow)

    def _follow(self) -> None:
        """Take the policies that a rotation granted in place of others, and check that none is gone."""
        views = again(self.world).policies()
        self.told([str(one) for one in views.left_out])
        kept = {view.policy_id: view for view in views if view.status is not PolicyStatus.REVOKED}
        mine = {name: view for name, view in kept.items() if view.grantee == self.world.clinician.address}
        now = {name: sorted(view.scopes) for name, view in mine.items() if name not in self.over}
        before = [sorted(scopes) for scopes in self.granted.values()]
        if any(list(now.values()).count(scopes) < before.count(scopes) for scopes in before):
            raise Broken(f"a rotation left {list(now.values())} of {before}")
        self.over += [name for name in self.granted if name not in now]
        self.granted = now
        self.seen = {name: header for name, header in self.seen.items() if name in now}

    def unpair(self) -> None:
        """Take the assent to the second hospital back, or give it anew: nothing is lost by either."""
        clinic = self.world.clinic.address
        if self.paired:
            self.honest(lambda: again(self.world).unpair(clinic))
        else:
            self.honest(lambda: again(self.world).pair(clinic))
        self.paired = not self.paired

    def requests(self) -> None:
        """Let the patient look at requests, and refuse what can't be read; an honest one is there among them."""
        number: list[int] = []

        def ask() -> None:
            if not number:
                number.append(again(self.world, "clinician").request(self.world.patient.address, ["vitals"]).request_id)

        def look() -> None:
            listed = again(self.world).requests()
            for left in listed.left_out:
                if left.reason.startswith("open"):
                    if left.sender != self.world.stranger.address and not self.healing:
                        raise Broken(f"{left} names another sender than the stranger")
                    again(self.world).deny(int(left.item))
            if number and number[0] not in {one.request_id for one in listed}:
                raise Broken(f"request {number[0]} is missing: {[str(one) for one in listed.left_out]}")
            for one in listed:
                if one.state == "open":
                    again(self.world).deny(one.request_id)

        self.world.advance(DAY)
        self.honest(ask)
        self.honest(look)

    def rewrap(self) -> None:
        """Let the hospital give records new headers where the patient asked for them."""

        def move() -> None:
            report = again(self.world, "hospital").rewrap()
            self.told([str(one) for one in report.omissions])

        # An opening of before isn't found by a new header.
        self.seen.clear()
        self.honest(move)

    def log(self) -> None:
        """Let the patient look at who opened a record: no single proxy can hide it."""
        for policy_id, header in sorted(self.seen.items()):
            self.honest(lambda policy_id=policy_id, header=header: self._look_up(policy_id, header))

    def _look_up(self, policy_id: PolicyId, header: str) -> None:
        try:
            listed = again(self.world).log(policy_id, records=[header])
        except UnknownActorError as exc:
            # The twins' chains have no receipts' root, so that a whole history may be hidden here: a part is missing.
            if "node_hides_an_upload" not in self.suspects:
                raise
            raise Broken(f"the log isn't found: {exc}") from exc
        # A record that was moved is told, too: that is nobody's doing.
        self.told([str(one) for one in listed.left_out if one.kind != "record"])
        if self.world.clinician.address not in {one.requester for one in listed}:
            raise Broken(f"the log of {policy_id} doesn't tell that the clinician opened {header}")

    def read(self) -> None:
        """Open what was granted, and check that it is all of it and nothing else."""
        for policy_id, categories in sorted(self.granted.items()):
            self.honest(lambda policy_id=policy_id, categories=categories: self._read(policy_id, categories))
        for policy_id in self.over[-2:]:
            self.check_closed("clinician", policy_id)

    def own(self) -> None:
        """Let the patient read everything."""

        def look() -> None:
            missing = self.published.keys() - {digest for digest, _ in self._records()}
            if missing:
                raise Broken(f"the patient misses {len(missing)} of {len(self.published)} records")

        self.honest(look)

    def inbox(self) -> None:
        """Let the clinician look at what was granted."""

        def look() -> None:
            shown = {view.policy_id for view in again(self.world, "clinician").inbox()}
            if not self.granted.keys() <= shown:
                raise Broken(f"the inbox lacks {self.granted.keys() - shown}")

        self.honest(look)

    def _records(self) -> list[tuple[str, str]]:
        opening = again(self.world).records()
        found = []
        try:
            for record in opening:
                if record.info.hospital == self.world.hospital.address:
                    found.append((record.info.digest.hex(), record.info.category.value))
        except PartlyDoneError as exc:
            self.told([str(one) for one in exc.omissions])
        return found

    def _read(self, policy_id: PolicyId, categories: Sequence[str]) -> None:
        expected = {digest for digest, category in self.published.items() if category in categories}
        found = set()
        only_bad = not expected and self.suspects.keys() & {one.__name__ for one in MOVES["hospital"]}
        try:
            for record in again(self.world, "clinician").open(policy_id):
                if record.info.hospital == self.world.hospital.address:
                    found.add(record.info.digest.hex())
                    self.seen[policy_id] = record.info.header_cid
                    if record.info.category.value not in categories:
                        raise Broken("a category that wasn't granted was opened")
        except PartlyDoneError as exc:
            self.told([str(one) for one in exc.omissions])
        except PanaChainError as exc:
            # Where only a liar published there is nothing to hand out, and the failure itself is told.
            if not only_bad or self.healing:
                raise
            self.told([str(exc)])
        if expected - found:
            raise Broken(f"the clinician misses {len(expected - found)} of {len(expected)} records")

    # What is watched

    def honest(self, call: Callable[[], object]) -> None:
        """Let an honest user do something: once among everything that is in the way, then until it works.

        Raises:
            Broken: it fails for longer than the bound, with an untyped error, or without a name.
        """
        for attempt in range(1 + PATIENCE):
            self.asked = 0
            try:
                call()
            except PanaChainError as exc:
                self.told([f"{exc} {exc.hint or ''}"])
                failure: Exception = exc
            except Broken as exc:
                # While something is in the way, a part may be missing, if it is said.
                failure = exc
                if not self.healing:
                    raise
            except Exception as exc:
                raise Broken(f"an untyped error came out: {exc!r}") from exc
            else:
                self._check_requests()
                return
            self._check_requests()
            self.story.append(f"attempt {attempt}: {failure}"[:200])
            self.heal()
        raise Broken(f"an honest user is stopped: {failure!r}") from failure

    def told(self, texts: Sequence[str]) -> None:
        """Check that what an honest user is told names one of those who are up to something.

        Raises:
            Broken: it names nobody, though somebody did something.
        """
        names = [name for names in self.suspects.values() for name in names]
        self.heard += texts
        for text in texts:
            if names and not any(name.lower() in text.lower() for name in names):
                raise Broken(f"nobody is named of {sorted(self.suspects)}: {text}")

    def _check_requests(self) -> None:
        self.world.wait()
        if self.asked > REQUESTS * max(1, len(self.published)):
            raise Broken(f"one call took {self.asked} requests to proxies")

    def check_closed(self, who: str, policy_id: PolicyId) -> None:
        """Check that somebody gets nothing by a policy.

        Raises:
            Broken: they get a record, or an untyped error.
        """
        try:
            contents = [record.content for record in again(self.world, who).open(policy_id)]
        except PanaChainError:
            return
        except Exception as exc:
            raise Broken(f"an untyped error came out for {who}: {exc!r}") from exc
        if contents:
            raise Broken(f"{who} read {len(contents)} records that aren't theirs")

    def heal(self) -> None:
        """End what was done for a while."""
        while self.healing:
            self.healing.pop()()
        # The evil hospital's records, and a lying proxy, stay.
        self.suspects = {move: names for move, names in self.suspects.items() if move in LASTING}

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request to a proxy, as that proxy does now."""
        if request.url.host == "evil-relay.test" and self._relay_lie is not None:
            return self._relay_lie(request)
        self.asked += 1
        if request.url.host in self._mangled:
            return self._noise.choice(_MANGLED)(request)
        return self._real_answer(request)

    def finish(self) -> None:
        """Check at the end, with nothing in the way any more, that nothing is lost."""
        self.heal()
        # What the patient's next command would do: a revocation that nobody took is sent again.
        left = go_on(again(self.world))
        if left:
            raise Broken(f"{len(left)} revocations didn't leave")
        self.honest(lambda: again(self.world).settle())
        # A rotation whose new grants a relay refused is finished by it.
        self.honest(self._follow)
        self._check_alarms()
        self.rewrap()
        self.own()
        self._check_vanished()
        self.inbox()
        self.read()
        self.log()
        for policy_id in [*self.granted, *self.over]:
            self.check_closed("stranger", policy_id)
            self.check_closed("nurse", policy_id)

    def _check_alarms(self) -> None:
        """Check that the patient sees a proxy that ignored a revocation."""
        views = {view.policy_id: view for view in again(self.world).policies()}
        for policy_id in self.ignored:
            if self.world.proxies[2].address not in views[policy_id].alarms:
                raise Broken(f"no alarm names the proxy that ignores the revocation of {policy_id}: {views[policy_id]}")

    def _check_vanished(self) -> None:
        """Check that the patient is told of records that they saw and that no manifest has any more.

        While a manifest of that hospital's can't be read they may be in it, and that is told.
        """
        opening = again(self.world).records()
        with suppress(PartlyDoneError):
            list(opening)
        told = [str(one) for one in opening.notices if " here, such as " in one.error.args[0]]
        told += [str(one) for one in opening.omissions if one.what.startswith("storage transaction")]
        if self.vanished and not any(self.evil.address in text for text in told):
            raise Broken(f"nobody is told that {self.vanished} vanished: {told}")

    # Moves: nodes

    def node_forges_keys(self) -> Sequence[str]:
        """A node shows keys of its own in place of everybody's, so that it could read what is sealed to them."""
        shown = Seed.random().public_keys()
        # Mostly they even lie in the store, so that nothing but the proof keeps anybody from them; or nobody has them,
        # and the store, which is asked in vain, isn't to blame.
        if self.chance.random() >= 0.3:
            # Whether or not it answers: the store is with them.
            self.world.network.store.held.setdefault(CID(RAW, shown.digest), (shown.encode(), 0.0))
        network = self.world.network
        for source in (network.mainchain.actors.bound.source, network.sidechain.identities.bound.source):
            real = source.events

            def forging(*args: Any, real: Any = real, **more: Any) -> Iterator[Event]:
                for one in real(*args, **more):
                    has_key = "keyDigest" in one.values
                    yield replace(one, values={**one.values, "keyDigest": shown.digest}) if has_key else one

            self._for_a_while(patch.object(source, "events", forging))
        return [NODE]

    def node_clock_is_ahead(self) -> Sequence[str]:
        """A node shows a newest block from the future: what is signed then would count for whoever keeps it."""
        seconds = self.chance.choice((300, 3600, 30 * DAY))
        real = self.world.network.mainchain.head_block

        def ahead() -> Block:
            return replace(real(), time=real().time + seconds)

        self._for_a_while(patch.object(self.world.network.mainchain, "head_block", ahead))
        return ["the node or the clock"]

    def node_is_down(self) -> Sequence[str]:
        """A node answers nothing for a while."""
        ledger = self.world.network.mainchain.ledger

        def down(**_: Any) -> Iterator[Any]:
            raise ChainUnavailableError("http://evil-node.test doesn't answer")

        self._for_a_while(patch.object(ledger, "events", down))
        return ["evil-node.test"]

    def node_hides_an_upload(self) -> Sequence[str]:
        """A node leaves the first storage transaction out."""
        source = self.world.network.mainchain.ledger.bound.source
        real = source.events

        def hiding(*args: Any, **more: Any) -> Iterator[Event]:
            events = list(real(*args, **more))
            first = next((one for one in events if one.name == "RecordsStored"), None)
            return iter([one for one in events if one is not first])

        self._for_a_while(patch.object(source, "events", hiding))
        # Of the newest one the follower knows by the receipts' root: tests/hostile/test_follower.py.
        return ["storage transaction", "the node"]

    # Moves: stores

    def store_is_down(self) -> Sequence[str]:
        """A store answers nothing for a while."""
        store = self.world.network.store
        store.down = True
        self.healing.append(lambda: setattr(store, "down", False))
        return [store.name]

    def store_loses_a_block(self) -> Sequence[str]:
        """A store says that it hasn't got a block, for a while."""
        store = self.world.network.store
        if not store.held:
            return []
        # In the order of writing: names of sealed blocks are other ones in each run of the same history.
        cid = self.chance.choice(list(store.held))
        kept = store.held.pop(cid)
        self.healing.append(lambda: store.held.update({cid: kept}))
        return [store.name, str(cid), self.world.hospital.address, self.world.hospital.profile.handle, str(cid)[:12]]

    def store_changes_a_block(self) -> Sequence[str]:
        """A store gives other bytes, for a while."""
        store = self.world.network.store
        if not store.held:
            return []
        cid = self.chance.choice(list(store.held))
        kept = store.held[cid]
        store.damage(cid)
        self.healing.append(lambda: store.held.update({cid: kept}))
        return [store.name, str(cid), self.world.hospital.address, self.world.hospital.profile.handle, str(cid)[:12]]

    def store_forges_a_key_block(self) -> Sequence[str]:
        """A store gives keys of its own for somebody's block, or none, to a machine that hasn't read it before."""
        store, blocks = self.world.network.store, self.world.network.key_blocks
        name = self.chance.choice(("hospital", "clinic", "clinician", "patient"))
        block = CID(RAW, self.world.sessions[name].profile.keys.digest)
        forged = Seed.random().public_keys().encode() if self.chance.random() < 0.7 else None
        real = store.get_block

        def lying(cid: CID) -> bytes:
            if cid != block:
                return real(cid)
            if forged is None:
                raise BlockNotFoundError(f"the {store.name} has no block {cid}")
            return forged

        shutil.rmtree(self.world.home / key_blocks.FOLDER, ignore_errors=True)
        blocks._read.clear()
        self._for_a_while(patch.object(store, "get_block", lying))
        return [store.name]

    # Moves: proxies. One of three, always the same: more than n − t could stop everybody, and that is the threshold.

    def proxy_is_down(self) -> Sequence[str]:
        """A proxy takes no connection."""
        proxy = self.world.proxies[2]
        proxy.up = False
        self.healing.append(lambda: setattr(proxy, "up", True))
        return [proxy.name, proxy.address]

    def proxy_answers_nonsense(self) -> Sequence[str]:
        """A proxy answers whatever comes to its mind."""
        host = f"{self.world.proxies[2].name}.test"
        self._mangled.add(host)
        self.healing.append(lambda: self._mangled.discard(host))
        return [self.world.proxies[2].name, self.world.proxies[2].address]

    def proxy_ignores_revocations(self) -> Sequence[str]:
        """A proxy serves whatever the chain says, and deletes nothing."""
        self.world.proxies[2].corrupt()
        return [self.world.proxies[2].name, self.world.proxies[2].address]

    def proxy_clock_is_wrong(self) -> Sequence[str]:
        """A proxy's clock is ahead or behind: it refuses what is of now, and its receipts state another time."""
        proxy, seconds = self.world.proxies[2], self.chance.choice((-DAY, -400, 400, DAY))
        self._for_a_while(patch.object(proxy.service, "_clock", lambda: self.world.clock() + seconds))
        return [proxy.name, proxy.address]

    def proxy_tells_other_marks(self) -> Sequence[str]:
        """A proxy says in its receipts that it re-encrypted other capsules than it did."""
        proxy = self.world.proxies[2]
        real = proxy.service._seal_detail

        def lying(*args: Any, **told: Any) -> Any:
            return real(*args, **(told | ({"opened": marks_text([os.urandom(98)])} if "opened" in told else {})))

        self._for_a_while(patch.object(proxy.service, "_seal_detail", lying))
        return [proxy.name, proxy.address]

    # Moves: relays

    def relay_lies(self) -> Sequence[str]:
        """A relay loses what it takes, answers nonsense, wants tokens, or says that the chain refuses.

        It is the only one, or stands before an honest one.
        """
        network, alone = self.world.network, self.chance.random() < 0.5
        self._relay_lie = self.chance.choice(_RELAYS)

        def relay(wallet: None = None) -> Relays:
            evil = RemoteRelay("https://evil-relay.test", timeout=10)
            own = network.sender(seed_of("relay").account_key())
            relays: list[Any] = [evil] if alone else [evil, LocalRelay(network.mainchain, own)]
            return Relays(network.mainchain, relays, grace=0.2, confirm=0.05, patience=0.05)

        self._for_a_while(patch.object(network, "relay", relay))
        return ["evil-relay.test"]

    def relay_refuses(self) -> Sequence[str]:
        """A relay takes no grant for a while."""

        def refuse(*_: Any, **__: Any) -> Any:
            raise TransactionError("https://evil-relay.test refuses")

        self._for_a_while(patch.object(LocalRelay, "grant", refuse))
        return ["evil-relay.test"]

    # Moves: hospitals

    def hospital_publishes_badly(self) -> Sequence[str]:
        """A hospital that the patient paired with publishes something that is wrong."""
        try:
            self.chance.choice(_BAD)(self.evil)
        except PanaChainError as exc:
            # Another liar is in its way.
            self.story.append(f"the evil hospital: {exc}"[:100])
        return [self.evil.address, self.evil.session.profile.handle, "evil"]

    def hospital_floods_a_lane(self) -> Sequence[str]:
        """A hospital has more envelopes in a lane than one opening asks the proxies for."""
        try:
            for _ in range(FLOOD):
                self.evil.record()
            self.evil.publish()
        except PanaChainError as exc:
            self.story.append(f"the evil hospital: {exc}"[:100])
        return [self.evil.address, self.evil.session.profile.handle, "evil"]

    def hospital_omits_what_it_merges(self) -> Sequence[str]:
        """A hospital leaves a record that the patient saw out of the manifest that stands for all before it."""
        try:
            header = str(self.evil.record())
            self.evil.publish()
            opening = again(self.world).records()
            with suppress(PartlyDoneError):
                if any(record.info.header_cid == header for record in opening) and not opening.omissions:
                    self.vanished.append(header)
            self.evil.record()
            self.evil.publish(first=1)
        except PanaChainError as exc:
            self.story.append(f"the evil hospital: {exc}"[:100])
        return [self.evil.address, self.evil.session.profile.handle, "evil"]

    # Moves: practitioners, patients, strangers: none of them can be noticed by whoever isn't theirs.

    def practitioner_opens_what_is_others(self) -> Sequence[str]:
        """A practitioner tries every policy that there is."""
        for policy_id in [*self.granted, *self.over]:
            self.check_closed(self.chance.choice(("stranger", "nurse")), policy_id)
        return []

    def practitioner_asks_for_access(self) -> Sequence[str]:
        """A practitioner asks the patient for access that nobody wants to give."""
        try:
            self.world.stranger.request(self.world.patient.address, ["laboratory"], "TREAT")
        except PanaChainError as exc:
            self.story.append(str(exc)[:100])
        return []

    def practitioner_sends_junk(self) -> Sequence[str]:
        """A practitioner makes requests of nothing and invites everybody into groups with keys that nobody stored."""
        requests, groups = self.world.network.sidechain.requests, self.world.network.sidechain.groups
        paying = self.world.stranger._sender(sidechain=True)
        for _ in range(2):
            try:
                requests.request(paying, self.world.patient.address, os.urandom(32), self.world.now + 9 * DAY)
                group = groups.create(paying, os.urandom(32)).address
                groups.add_member(paying, group, self.world.clinician.address, os.urandom(32))
                if self.chance.random() < 0.5:
                    again(self.world, "clinician").accept_group(group)
            except PanaChainError as exc:
                self.story.append(str(exc)[:100])
        return [self.world.stranger.address]

    def patient_forges_terms(self) -> Sequence[str]:
        """Somebody grants the clinician terms in the patient's name."""
        if self._forged:
            return []
        try:
            policy_id = forge(self.world, self.world.patient.address)
        except PanaChainError as exc:
            self.story.append(f"the forger: {exc}"[:100])
            return []
        self._forged = True
        self.check_closed("clinician", policy_id)
        return []

    def patient_tells_other_peppers(self) -> Sequence[str]:
        """A patient's terms say other peppers than their hospital was told, so that the hospital seems to lie."""
        try:
            liar = self._another_patient()
            with patch.object(Seed, "pepper", lambda *_: os.urandom(32)):
                until = self.world.now + 30 * DAY
                policy_id = liar.grant(self.world.clinician.address, ["laboratory"], until=until).policy_id
        except PanaChainError as exc:
            self.story.append(f"the lying patient: {exc}"[:100])
            return []
        try:
            contents = list(again(self.world, "clinician").open(policy_id))
        except PanaChainError as exc:
            if not self.healing and liar.profile.handle not in str(exc):
                raise Broken(f"the lying patient isn't named: {exc}") from exc
            return []
        raise Broken(f"{len(contents)} records opened with peppers that nobody was told")

    def _another_patient(self) -> Patient:
        """Return a patient who means ill, with one record at the honest hospital."""
        name = "liar"
        if name not in self.world.sessions:
            actor = actor_of(name, Role.PATIENT)
            folder = self.world.home / "profiles" / name
            folder.mkdir(parents=True, exist_ok=True)
            self.world.registrar.admit(actor)
            profile = Profile(name, Role.PATIENT, actor.address, actor.public_keys, folder)
            self.world.sessions[name] = Patient(self.world.network, profile, "")
        liar: Patient = again(self.world, name)
        liar.pair(self.world.hospital.address)
        source = self.world.home / "of-the-liar"
        source.mkdir(exist_ok=True)
        subject = {"subject": {"reference": "Patient/liar"}}
        (source / "0.json").write_text(json.dumps(resource("laboratory", 2025, 1) | subject))
        again(self.world, "hospital").upload([source], liar.address)
        return liar

    def stranger_sends_nonsense_to_proxies(self) -> Sequence[str]:
        """A stranger sends proxies what they never asked for."""
        path = self.chance.choice(("/v1/reencrypt", "/v1/deposit", "/v1/revoke", "/v1/receipts"))
        body = self.chance.choice((b"", b"[" * 5000, b"{}", os.urandom(300), b'{"policy":1,"signature":null}'))
        for proxy in self.world.proxies:
            status, _ = proxy.answer(path, body)
            if status < 400:
                raise Broken(f"a proxy took nonsense at {path}")
        return []

    def stranger_repeats_a_grants_events(self) -> Sequence[str]:
        """A stranger announces policies of terms that nobody stored."""
        relay = self.world.network.relay()
        owner = os.urandom(32)
        account = Account(owner)
        grant = Grant(
            owner=PolicyId(account.address),
            starts_at=self.world.now,
            expires_at=self.world.now + DAY,
            deadline=self.world.now + DAY,
            terms=os.urandom(32),
            view_tag=self.chance.randrange(256),
            announcement=os.urandom(32),
        )
        try:
            relay.grant(grant, self.world.network.mainchain.policies.sign_grant(account, grant))
        except PanaChainError as exc:
            self.story.append(f"the stranger: {exc}"[:100])
        return []

    def _for_a_while(self, changed: Any) -> None:
        changed.start()
        self.healing.append(changed.stop)


_BAD: Final = bad.ATTACKS
_MANGLED: Final[tuple[Callable[[httpx.Request], httpx.Response], ...]] = (
    lambda request: httpx.Response(200, content=b"", request=request),
    lambda request: httpx.Response(200, content=b"[" * 3000, request=request),
    lambda request: httpx.Response(200, content=os.urandom(200), request=request),
    lambda request: httpx.Response(200, json={"cfrags": ["00"], "receipt": None}, request=request),
    lambda request: httpx.Response(503, json={"type": "about:blank", "title": "busy"}, request=request),
    lambda request: httpx.Response(302, headers={"location": "http://127.0.0.1:1/"}, request=request),
)
_RELAYS: Final[tuple[Callable[[httpx.Request], httpx.Response], ...]] = (
    *_MANGLED,
    lambda request: httpx.Response(200, json={"state": "mined", "tx": "0x" + "11" * 32}, request=request),
    lambda request: httpx.Response(202, json={"state": "pending"}, request=request),
    lambda request: httpx.Response(402, json={"type": "https://panachain/token-needed", "title": "t"}, request=request),
    lambda request: httpx.Response(
        409, json={"type": "x/would-revert", "detail": "PolicyDeadlineOver"}, request=request
    ),
)
MOVES: Final[Mapping[str, Sequence[Callable[[Hostile], Sequence[str]]]]] = {
    "node": (
        Hostile.node_is_down,
        Hostile.node_hides_an_upload,
        Hostile.node_forges_keys,
        Hostile.node_clock_is_ahead,
    ),
    "store": (
        Hostile.store_is_down,
        Hostile.store_loses_a_block,
        Hostile.store_changes_a_block,
        Hostile.store_forges_a_key_block,
    ),
    "proxy": (
        Hostile.proxy_is_down,
        Hostile.proxy_answers_nonsense,
        Hostile.proxy_ignores_revocations,
        Hostile.proxy_clock_is_wrong,
        Hostile.proxy_tells_other_marks,
    ),
    "relay": (Hostile.relay_refuses, Hostile.relay_lies),
    "hospital": (
        Hostile.hospital_publishes_badly,
        Hostile.hospital_floods_a_lane,
        Hostile.hospital_omits_what_it_merges,
    ),
    "practitioner": (
        Hostile.practitioner_opens_what_is_others,
        Hostile.practitioner_asks_for_access,
        Hostile.practitioner_sends_junk,
    ),
    "patient": (Hostile.patient_forges_terms, Hostile.patient_tells_other_peppers),
    "stranger": (Hostile.stranger_sends_nonsense_to_proxies, Hostile.stranger_repeats_a_grants_events),
}
LASTING: Final = frozenset(
    {
        "hospital_publishes_badly",
        "hospital_floods_a_lane",
        "hospital_omits_what_it_merges",
        "proxy_ignores_revocations",
        "practitioner_sends_junk",
    }
)
"""Moves that nobody takes back."""
STEPS: Final = (
    Hostile.upload,
    Hostile.grant,
    Hostile.read,
    Hostile.revoke,
    Hostile.own,
    Hostile.inbox,
    Hostile.rotate,
    Hostile.unpair,
    Hostile.requests,
    Hostile.rewrap,
    Hostile.log,
)


def play(seed: str, roles: Sequence[str], length: int = 8) -> list[str]:
    """Play one history in which liars of some roles meet, and return what happened.

    Args:
        seed: moves and steps follow from it; keys and whatever is sealed are drawn anew each time.
        roles: of the liars.
        length: honest steps in the middle.

    Raises:
        Broken: an invariant doesn't hold; the history is told with it, and how to play it again.
    """
    chance = random.Random(seed)
    with running_world() as world:
        hostile = Hostile(world, chance)
        with (
            patch.object(world, "answer", hostile.answer, create=True),
            patch.object(granted_records, "MOST_ENVELOPES", MOST),
            patch.object(merging, "FAN", MERGED),
            _told(hostile, f"play({seed!r}, {list(roles)}, {length})"),
        ):
            hostile.upload()
            hostile.grant()
            for _ in range(length):
                for role in roles:
                    if chance.random() < 0.5:
                        hostile.let(chance.choice(MOVES[role]))
                step = chance.choice(STEPS)
                hostile.story.append(step.__name__)
                step(hostile)
                if chance.random() < 0.5:
                    hostile.heal()
            hostile.finish()
        return hostile.story


@contextmanager
def _told(hostile: Hostile, again: str) -> Iterator[None]:
    """Tell the history with what breaks."""
    try:
        yield
    except Exception as exc:
        raise Broken(f"{exc}\n  by {again}\n  " + "\n  ".join(hostile.story)) from exc
    finally:
        hostile.heal()
