"""`network check`, `add-proxy`, `add-hospital`, `add-person`: whether a network is what its file says, and who joins.

A check never changes anything, and one finding never hides another. Whoever is admitted is shown whole before the
registrar signs. Follows docs/spec/cli.md, docs/spec/network.md and docs/security/contracts.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from panachain.cli import words
from panachain.cli.app import App, LazyGroup, command, current
from panachain.cli.doctor import Check, fetch, gate_checks, of_calls, ready_problem, relay_problem, store_state
from panachain.errors import (
    BlockNotFoundError,
    ChainUnavailableError,
    ConfigurationError,
    IntegrityError,
    PanaChainError,
    PartlyDoneError,
    UnavailableError,
    UsageError,
)
from panachain.model.actors import Actor, Role, Status

if TYPE_CHECKING:
    from panachain.chain.config import ChainConfig
    from panachain.chain.rpc import Rpc
    from panachain.sdk.network import Network

_MANAGED: Final = {
    "mainchain": ("ActorRegistry", "Checkpoints"),
    "sidechain": ("IdentityRegistry", "CareGroups", "EmergencyAccess", "Wardships"),
}
"""The contracts whose functions the chain's AccessManager guards."""
_CARD_SIZE: Final = 65_536
"""Bytes of a card at most."""
_GENUINE: Final = (Role.PATIENT, Role.PRACTITIONER)
"""Roles whose registry is the sidechain's; those of all others is the mainchain's."""
_PERSONS: Final = (Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER)
_ADDED_BY: Final[Mapping[str, tuple[Role, ...]]] = {
    "add-proxy": (Role.PROXY,),
    "add-hospital": (Role.HOSPITAL,),
    "add-person": _PERSONS,
}
"""Which command takes whose card."""
_NAMED: Final = 3
"""Handles of one finding at most."""
_PUT_AGAIN: Final = (
    "they run panachain --profile THEIRS register once more; or network add-proxy, add-hospital, add-person with their"
    " card; or storage import"
)


@click.group(
    "network",
    cls=LazyGroup,
    epilog="""
        panachain network check network.json
        panachain network add-proxy card.json
    """,
)
def network() -> None:
    """Check a network against its file, and let proxies and hospitals join it."""


@command("check", examples="panachain network check network.json --json")
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(dir_okay=False, path_type=Path))
def check(file: Path | None) -> None:
    """Compare a network with its FILE; without one, with the settings' network file.

    Each node, contract, role, threshold, relay, proxy and the store is a finding of its own. Ends with 3 if anything
    differs or doesn't answer.
    """
    app = current()
    if file is not None:
        app.flags["network_file"] = str(file)
    from panachain.sdk.network_file import read_description

    description = read_description(app.config)
    found = []
    for one in _checks(app, description):
        found.append(one)
        app.output.detail(f"{one.name}: {one.state}")
    app.output.many(
        found,
        empty="",
        columns=("state", "name", "detail", "fix"),
        also=lambda row: {"fix": app.output.typed(str(row["fix"]))},
    )
    bad = sum(one.state == "bad" for one in found)
    app.output.say(f"{words.count(len(found), 'finding')}, {bad} bad.")
    if bad:
        click.get_current_context().exit(PartlyDoneError.exit_code)


def _checks(app: App, description: Mapping[str, Any]) -> Iterator[Check]:
    for name in ("mainchain", "sidechain"):
        yield from _chain(app, name, description)
    yield from gate_checks(app.config.sidechain_rpc, description)
    yield from _services(app, description)


def _chain(app: App, name: str, description: Mapping[str, Any]) -> Iterator[Check]:
    from panachain.chain.config import ChainConfig

    try:
        chain = ChainConfig.parse(
            description.get(name, {}),
            app.config.network_file.parent,
            what=f"the network file's section `{name}`",
            urls=getattr(app.config, f"{name}_rpc"),
            quorum=getattr(app.config, f"{name}_quorum"),
        )
        rpcs = chain.rpcs(timeout=app.config.timeout)
    except PanaChainError as exc:
        yield _bad(name, exc, "correct the section in the network file")
        return
    try:
        good = []
        for rpc in rpcs:
            one = _node(f"{name} node {rpc.url}", rpc, chain)
            yield one
            good += [rpc] if one.state == "ok" else []
        if good:
            yield from _contracts(name, good[0], chain)
            yield from _governed(app, name, good[0], chain, description)
    finally:
        for rpc in rpcs:
            rpc.close()


def _node(label: str, rpc: Rpc, chain: ChainConfig) -> Check:
    """Look at one node: whether it answers, and whether its chain is the file's, from the deployment's block on."""
    from panachain.chain import node

    def look() -> str:
        found = node.chain_id(rpc)
        if found != chain.chain_id:
            raise ConfigurationError(f"its chain ID is {found}, the file says {chain.chain_id}")
        head = node.block_number(rpc)
        if chain.from_block_hash:
            begun = node.block_at(rpc, chain.from_block).hash.lower()
            if begun != chain.from_block_hash:
                raise IntegrityError(f"its block {chain.from_block} is {begun}, the file says {chain.from_block_hash}")
        return f"chain ID {found}, block {head}"

    return _ask(label, look, "ask who runs it, or take it out of the file")


def _contracts(name: str, rpc: Rpc, chain: ChainConfig) -> Iterator[Check]:
    from panachain.chain.bound import BoundContract
    from panachain.chain.contracts.actor_registry import ActorRegistry
    from panachain.chain.verify import check_code

    for label, address in chain.contracts.items():

        def code(label: str = label, address: str = address) -> str:
            try:
                check_code(rpc, label, address)
            except FileNotFoundError:
                raise ConfigurationError(f"this version ships no contract {label}") from None
            return "the code is the shipped one"

        yield _ask(f"{name} {label}", code, "another version of panachain, or another network file")
    if name == "mainchain" and "ActorRegistry" in chain.contracts:
        where = chain.contracts["ActorRegistry"]
        registry = ActorRegistry(BoundContract(rpc, "ActorRegistry", where, chain_id=chain.chain_id))
        for label, made in (("RecordLedger", registry.record_ledger), ("AccessLog", registry.access_log)):

            def same(label: str = label, made: Callable[[], str] = made) -> str:
                if (found := made()) != chain.contracts.get(label):
                    raise IntegrityError(f"the registry's is {found}, the file says {chain.contracts.get(label)}")
                return "it is the registry's own"

            yield _ask(f"{name} {label} of the registry", same, "correct the address in the file")


def _governed(app: App, name: str, rpc: Rpc, chain: ChainConfig, description: Mapping[str, Any]) -> Iterator[Check]:
    """Compare who is in charge with what the file says."""
    from panachain.chain.bound import BoundContract

    def bound(label: str) -> BoundContract:
        return BoundContract(rpc, label, chain.contracts[label], chain_id=chain.chain_id)

    fix = "docs/security/contracts.md tells how roles change; an unknown account in a role is an alarm"
    manager = chain.contracts.get("AccessManager", "")
    for label in _MANAGED[name]:
        if label in chain.contracts:

            def managed(label: str = label) -> str:
                found = str(bound(label).read("authority"))
                if found.lower() != manager.lower():
                    raise IntegrityError(f"it is managed by {found}, and the file's AccessManager is {manager}")
                return "the file's AccessManager manages it"

            yield _ask(f"{name} manager of {label}", managed, fix)
    told = description.get("governance")
    if not isinstance(told, Mapping):
        yield Check(f"{name} roles", "note", "the file doesn't say who is in charge", "add the section `governance`")
        return
    try:
        yield from _roles(app, name, rpc, chain, told, fix)
    except (PanaChainError, KeyError, TypeError, ValueError) as exc:
        reason = exc if isinstance(exc, PanaChainError) else ConfigurationError(f"`governance` can't be read: {exc!r}")
        yield _bad(f"{name} roles", reason, fix)
    if name == "mainchain" and "Checkpoints" in chain.contracts:

        def validators() -> str:
            accounts, quorum = bound("Checkpoints").read("validators")
            expected = sorted(str(one).lower() for one in told["validators"])
            if (sorted(str(one).lower() for one in accounts), quorum) != (expected, told["quorum"]):
                raise IntegrityError(
                    f"{quorum} of {len(accounts)} must sign ({', '.join(map(str, accounts))}), the file says"
                    f" {told['quorum']} of {', '.join(map(str, told['validators']))}"
                )
            return f"{quorum} of {len(accounts)} must sign, as the file says"

        yield _ask(f"{name} validators", validators, fix)


def _roles(app: App, name: str, rpc: Rpc, chain: ChainConfig, told: Mapping[str, Any], fix: str) -> Iterator[Check]:
    """Yield a finding for each role that somebody has and shouldn't, or lacks."""
    from panachain.chain.governance import ROLES, appointments
    from panachain.chain.plan import ADMIN, REGISTRAR, SUSPENDER
    from panachain.chain.web3 import MainchainWeb3, SidechainWeb3
    from panachain.sdk.names import Names

    kind = MainchainWeb3 if name == "mainchain" else SidechainWeb3
    actual = {
        (one.role, str(one.account).lower(), one.delay)
        for one in appointments(kind(rpc, chain.contracts, chain.from_block).panachain)
    }
    registrar, admin = str(told["registrar"]).lower(), str(told["administrator"]).lower()
    wanted = {(ADMIN, admin, int(told["delay"])), (REGISTRAR, registrar, 0)}
    if name == "sidechain":
        # A network of before has no wardships.
        closing = {chain.contracts[one].lower() for one in ("EmergencyAccess", "Wardships") if one in chain.contracts}
        wanted |= {(SUSPENDER, account, 0) for account in (registrar, *closing)}
    contracts = {address.lower(): label for label, address in chain.contracts.items()}
    people = Names(app.home)

    def called(account: str) -> str:
        """Return who that is, where this machine or the file knows it: what is an alarm stays whole."""
        known = contracts.get(account) or people.of(account)
        return known if known == account or not app.output.long else f"{known} {account}"

    for role, account, delay in sorted(wanted & actual):
        yield Check(f"{name} {ROLES[role]}", "ok", f"{called(account)}, acts {words.after(delay)}")
    for role, account, delay in sorted(wanted - actual):
        error = IntegrityError(f"{account} should have the role, with a delay of {delay} s, and doesn't")
        yield _bad(f"{name} {ROLES[role]}", error, fix)
    for role, account, delay in sorted(actual - wanted):
        error = IntegrityError(f"{account} has the role, with a delay of {delay} s, and the file doesn't say so")
        yield _bad(f"{name} {ROLES.get(role, f'role {role}')}", error, fix)


def _services(app: App, description: Mapping[str, Any]) -> Iterator[Check]:
    for url in map(str, description.get("relays", ())):
        problem = relay_problem(url, description)
        fix = "ask who runs it, or take it out of the file" if problem else ""
        yield Check(f"relay {url}", "bad" if problem else "ok", problem or "ready, and of this network", fix)
    if not description.get("relays") and not description.get("relayKeyFile"):
        error = ConfigurationError("the file names neither relays nor a relayKeyFile: no policy can be granted")
        yield _bad("relays", error, "panachain relay init, then its URL into `relays`")
    yield from _payers_of_persons(description)
    if "tokens" in description:
        yield _ask("issuer of tokens", lambda: _issuer(description), "ask who runs it, or correct the section `tokens`")
    store = _ask("store", lambda: _store(app, description), "look at the section `ipfs`, and whether it runs")
    yield store
    # By themselves: a store that doesn't open hides no proxy.
    try:
        yield from _proxies(app, description)
    except PanaChainError as exc:
        yield _bad("proxies", exc, "look at the mainchain's nodes")
    except (KeyError, TypeError, ValueError) as exc:
        yield _bad("proxies", ConfigurationError(f"the file can't be read: {exc!r}"), "correct the file")
    if store.state == "ok":
        yield from _key_blocks(app)


def _payers_of_persons(description: Mapping[str, Any]) -> Iterator[Check]:
    """Look at who pays for what persons do on the sidechain."""
    urls = [str(url) for url in description.get("sidechainRelays", ())]
    for url in urls:
        try:
            problem = relay_problem(url, description, of_calls)
        except (KeyError, TypeError):
            problem = "the file's section `sidechain` can't be read"
        fix = "ask who runs it, or take it out of the file" if problem else ""
        yield Check(f"sidechain relay {url}", "bad" if problem else "ok", problem or "ready, and of this network", fix)
    side = description.get("sidechain")
    paid = isinstance(side, Mapping) and side.get("paid") is True
    if paid and not urls and not description.get("sidechainRelayKeyFile"):
        error = ConfigurationError("gas costs something on the sidechain, and nobody pays for what persons do there")
        yield _bad("sidechain relays", error, "panachain relay init, then its URL into `sidechainRelays`")


def _issuer(description: Mapping[str, Any]) -> str:
    """Compare the issuer's key with the pinned one: by a key for each patient it could know each token again."""
    from panachain.sdk.wallet import TokenIssuer

    issuer = TokenIssuer.parse(description["tokens"])
    status, answer = fetch(f"{issuer.url}/v1/key")
    if status != 200:
        raise UnavailableError(f"{issuer.url}: {answer if status is None else f'answers {status}'}")
    shown = str(json.loads(answer)["key"])
    if shown.lower() != str(description["tokens"]["key"]).lower():
        raise IntegrityError(f"{issuer.url} has another key than the file; no token is taken from there")
    return f"{issuer.url} has the key that the file pins"


def _key_blocks(app: App) -> Iterator[Check]:
    """Look whether the store has the keys of everybody whom the chains name: without them nobody deals with them."""
    try:
        with app.network() as network:
            known: Mapping[str, Callable[[], list[Actor]]] = {
                "hospitals, proxies, researchers": network.mainchain.actors.find,
                "persons": lambda: network.sidechain.identities.find(),
                "groups": lambda: network.sidechain.groups.find(),
            }
            for whose, find in known.items():

                def stored(find: Callable[[], list[Actor]] = find) -> str:
                    actors = find()
                    lacking = network.key_blocks.lacking(actors)
                    if lacking:
                        named = ", ".join(one.handle for one in lacking[:_NAMED])
                        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
                        raise BlockNotFoundError(
                            f"the store lacks those of {len(lacking)} of {len(actors)}: {named}{more}"
                        )
                    return f"the store has those of all {len(actors)}"

                yield _ask(f"key blocks of {whose}", stored, _PUT_AGAIN)
    except PanaChainError as exc:
        yield _bad("key blocks", exc, "look at the findings above")


def _store(app: App, description: Mapping[str, Any]) -> str:
    from panachain.storage.configured import open_store

    with closing(open_store(app.config, description.get("ipfs", {"kind": "embedded"}))) as store:
        return store_state(store)


def _proxies(app: App, description: Mapping[str, Any]) -> Iterator[Check]:
    from panachain.chain.mainchain import Mainchain
    from panachain.follow.opening import following
    from panachain.sdk.network_file import chains_of
    from panachain.wire.endpoints import Reach

    config = app.config
    main, _ = chains_of(description, config)
    needed = int(description["threshold"])
    reach = Reach.of(config.proxy_ranges, development=description.get("faucet") is True)
    with closing(Mainchain.connect(main, timeout=config.timeout, source=following(main, app.home))) as mainchain:
        proxies = [one for one in mainchain.actors.find(Role.PROXY) if one.status is Status.ACTIVE]
    ready = 0
    for proxy in proxies:
        problem = ready_problem(reach, proxy.endpoint)
        ready += problem is None
        fix = "its /readyz says why; panachain proxy announce changes its endpoint" if problem else ""
        detail = f"{proxy.endpoint}: {problem or 'ready'}"
        yield Check(f"proxy {proxy.handle}", "bad" if problem else "ok", detail, fix)
    count = f"{ready} of {len(proxies)} proxies are ready, {needed} must help"
    if len(proxies) < needed or needed < 2:
        yield _bad("threshold", ConfigurationError(count), "panachain proxy init, then network add-proxy")
    elif ready < needed:
        yield _bad("threshold", PanaChainError(count), "start more of them")
    elif ready == needed:
        yield Check("threshold", "note", f"{count}: none may fail", "panachain proxy init, then network add-proxy")
    else:
        yield Check("threshold", "ok", count)


@dataclass(frozen=True)
class Step:
    """One step of joining a network."""

    step: str
    state: str
    """`done`, `to do` or `note`."""
    detail: str
    run: str = ""
    """What to run for it."""

    def to_json(self) -> dict[str, object]:
        """Return the step as JSON, schema `panachain/step/1`."""
        return {
            "schema": "panachain/step/1",
            "step": self.step,
            "state": self.state,
            "detail": self.detail,
            "run": self.run,
        }


_JOINING: Final = (
    click.argument("card", metavar="CARD", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
    click.option("--yes", is_flag=True, help="Don't ask before admitting."),
)


def _joins(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_JOINING):
        function = option(function)
    return function


@command(
    "add-proxy",
    unchanged="a second call admits nobody twice",
    after="panachain network check shows who is registered and answers",
    examples="panachain --profile registrar network add-proxy card.json",
)
@click.option(
    "--organisation",
    default="",
    metavar="WHO",
    help="Who operates it: an actor, or any address. A grant takes at most threshold - 1 proxies of one operator.",
)
@_joins
def add_proxy(card: Path, organisation: str, yes: bool) -> None:
    """Let a proxy join: its CARD is the `card.json` that `panachain proxy init` wrote.

    The registrar's profile on this machine admits it. Without one, what a registrar elsewhere (a multisig, for
    example) has to send is printed.
    """
    _add(current(), _read_card(card, Role.PROXY), organisation, yes=yes)


@command(
    "add-hospital",
    unchanged="a second call admits nobody twice",
    after="panachain network check shows what is missing",
    examples="""
        panachain --profile clinic whoami --json > card.json
        panachain --profile registrar network add-hospital card.json
        panachain --profile registrar network add-hospital branch.json --organisation hos-mfrggzdfmy2tq
    """,
)
@click.option(
    "--organisation",
    default="",
    metavar="HOSPITAL",
    help="The registered house that it is a branch of. A branch has keys of its own.",
)
@_joins
def add_hospital(card: Path, organisation: str, yes: bool) -> None:
    """Let a hospital join: its CARD is what `panachain whoami --json` printed there.

    The registrar's profile on this machine admits it. Without one, what a registrar elsewhere (a multisig, for
    example) has to send is printed.
    """
    _add(current(), _read_card(card, Role.HOSPITAL), organisation, yes=yes)


@command(
    "add-person",
    unchanged="a second call admits nobody twice",
    after="panachain network check shows who is registered",
    examples="""
        panachain --profile doctor whoami --json > card.json
        panachain --profile registrar network add-person card.json --organisation hos-mfrggzdfmy2tq
    """,
)
@click.option(
    "--organisation", default="", metavar="HOSPITAL", help="Where a practitioner works: a registered hospital."
)
@_joins
def add_person(card: Path, organisation: str, yes: bool) -> None:
    """Let a patient, practitioner or researcher join: the CARD is what `panachain whoami --json` printed there.

    The registrar's profile on this machine admits them. Without one, what a registrar elsewhere (a multisig, for
    example) has to send is printed.
    """
    _add(current(), _read_card(card, *_PERSONS), organisation, yes=yes)


def _add(app: App, actor: Actor, organisation: str, *, yes: bool) -> None:
    steps: list[Step] = []
    with app.network() as opened:
        if organisation:
            actor = replace(actor, organisation=opened.resolver.house(organisation, actor))
        registered = _registered(opened, actor)
        if registered is not None and not _had(registered, actor):
            raise UsageError(
                f"{actor.address} is registered as a {registered.role.value} with other keys; nothing was changed",
                hint="a card of an account has keys that the registry names; panachain key rotate gives it others",
            )
        if registered is not None and organisation and registered.organisation != actor.organisation:
            raise UsageError(
                f"{actor.address} is registered under {registered.organisation or 'no organisation'}, which never"
                " changes; nothing was changed"
            )
        steps.append(Step("card", "done", f"{actor.handle}, account {actor.address}"))
        # Also of whoever is registered: the store may have lost it, and who has the card has the block.
        lay = opened.key_blocks.is_stored(actor)
        opened.key_blocks.put(actor)
        told = "lay in the store, and is pinned" if lay else "was put into the store, and pinned"
        steps.append(Step("key block", "done", f"{actor.key_digest.hex()} {told}"))
        if registered is None:
            steps.append(_admit(app, opened, actor, yes=yes))
        else:
            under = f", under {registered.organisation}" if registered.organisation else ""
            told = f"it is registered{under}, and {registered.status.name.lower()}"
            steps.append(Step("registry", "done", told))
        if actor.role is Role.PROXY:
            steps += _proxy_steps(opened, actor, registered)
        else:
            steps += _hospital_steps(app, actor) if actor.role is Role.HOSPITAL else _person_steps(app)
    app.output.many(
        steps,
        empty="",
        columns=("step", "state", "detail", "run"),
        also=lambda row: {"run": app.output.typed(str(row["run"]))},
    )
    if any(one.state == "to do" for one in steps):
        app.output.say("The same command again shows what is left.")


def _admit(app: App, opened: Network, actor: Actor, *, yes: bool) -> Step:
    """Admit an actor by the registrar's profile of this machine, or say what a registrar elsewhere sends."""
    from panachain.sdk.profiles import list_profiles

    profiles = list_profiles(app.home)
    if not any(one.role is Role.REGISTRAR for one in profiles):
        for damaged in profiles.omissions:
            app.output.warn(f"{damaged}; it may be the registrar's. {damaged.error.hint}")
        registry = opened.sidechain.identities if actor.role in _GENUINE else opened.mainchain.actors
        return Step("registry", "to do", f"the registrar sends this to {registry.address}", registry.admission(actor))
    shown = [f"{actor.role.value} {actor.handle}", f"account        {actor.address}"]
    shown.append(f"keys, SHA-256  {actor.key_digest.hex()}")
    shown += [f"endpoint       {actor.endpoint}"] if actor.endpoint else []
    shown += [f"organisation   {actor.organisation}"] if actor.organisation else []
    for line in shown:
        app.output.say(line, whole=True)
    app.confirm("Are these the account and keys that its operator told you by another way?", yes=yes)
    with app.acting(Role.REGISTRAR) as registrar:
        from panachain.sdk.base import Registrar

        if not isinstance(registrar, Registrar):
            raise UsageError("only the registrar admits")
        registrar.admit(actor)
    return Step("registry", "done", "it was admitted just now")


def _proxy_steps(opened: Network, actor: Actor, registered: Actor | None) -> Iterator[Step]:
    if registered is not None and registered.endpoint != actor.endpoint:
        yield Step(
            "endpoint",
            "to do",
            f"the registry says {registered.endpoint or 'none'}; the proxy itself changes it",
            f"panachain proxy announce {actor.endpoint} --config proxy.toml",
        )
    problem = ready_problem(opened.reach, actor.endpoint)
    if problem:
        run = "sudo systemctl enable --now panachain-proxy.service"
        yield Step("service", "to do", f"{actor.endpoint}: {problem}", run)
    else:
        yield Step("service", "done", f"{actor.endpoint} is ready")
    count = len(opened.proxies())
    state = "done" if count > opened.threshold else "note"
    yield Step("threshold", state, f"{words.count(count, 'proxy')} registered, {opened.threshold} must help")


def _hospital_steps(app: App, actor: Actor) -> Iterator[Step]:
    file = app.config.network_file
    yield Step("network file", "note", f"the hospital gets {file}, by a way on which nobody changes it")
    yield Step("gate", "note", "the registry's active actors pass; a node.key of its own goes into the gate's `nodes`")
    yield Step("check", "note", "on the hospital's machine", f"panachain network check {file.name}")
    yield Step("first upload", "note", f"there too, once a patient has paired with {actor.handle}")


def _person_steps(app: App) -> Iterator[Step]:
    file = app.config.network_file
    yield Step("network file", "note", f"they get {file}, by a way on which nobody changes it")
    yield Step("check", "note", "on their machine", f"panachain network check {file.name}")
    yield Step("register", "note", "there, too: `register` puts their keys into the store that they use")


def _registered(opened: Network, actor: Actor) -> Actor | None:
    """Return a card's actor as the registry of the role has them, or None."""
    if actor.role in _GENUINE:
        return opened.sidechain.identities.identity_of(actor.address)
    return opened.mainchain.actors.actor_of(actor.address)


def _had(registered: Actor, card: Actor) -> bool:
    """Tell whether a card is of a registered actor: with the keys of now, or with those of before a change."""
    return registered.role is card.role and card.key_digest in registered.key_digests


def _read_card(path: Path, *roles: Role) -> Actor:
    """Return the actor of a card, whose role is one of `roles`.

    Raises:
        UsageError: it is none, or of another role.
    """
    from panachain.crypto.hpke import check_public
    from panachain.ethereum import parse_address
    from panachain.model.key_block import PublicKeys
    from panachain.wire.endpoints import check_form

    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_CARD_SIZE))
        if content["schema"] != "panachain/actor/2":
            raise ValueError("another schema")
        keys = PublicKeys.parse(bytes.fromhex(content["key_block"]))
        if not keys.verifying:
            raise ValueError("a group's key block, without a signer")
        check_public(keys.sealing)
        address, found, endpoint = parse_address(content["address"]), Role(content["role"]), str(content["endpoint"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, IntegrityError) as exc:
        raise UsageError(f"{path} can't be read as a card (panachain/actor/2)") from exc
    if found not in roles:
        wanted = " or ".join(f"a {role.value}" for role in roles)
        other = next((name for name, those in _ADDED_BY.items() if found in those), "")
        raise UsageError(
            f"{path} is the card of a {found.value}, not of {wanted}; nothing was changed",
            hint=f"panachain network {other} {path}" if other else "nobody is admitted by this card",
        )
    endpoint = check_form(endpoint) if found is Role.PROXY else ""
    return Actor.of(address, found, keys, endpoint=endpoint)


def _ask(name: str, question: Callable[[], str], fix: str) -> Check:
    try:
        return Check(name, "ok", question())
    except PanaChainError as exc:
        # What isn't reached tells nothing of what the fix is for.
        unreached = isinstance(exc, ChainUnavailableError) and fix == _PUT_AGAIN
        return _bad(name, exc, exc.hint if unreached else fix)
    except (KeyError, TypeError, ValueError) as exc:
        return _bad(name, ConfigurationError(f"the answer or the file can't be read: {exc!r}"), fix)


def _bad(name: str, error: PanaChainError, fix: str) -> Check:
    return Check(name, "bad", str(error), fix, error.exit_code)


network.add_command(check)
network.add_command(add_proxy)
network.add_command(add_hospital)
network.add_command(add_person)
