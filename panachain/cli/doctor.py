"""`doctor`: everything that this machine needs, each with a fix.

Never asks for a passphrase, and changes nothing: on a sidechain without a base fee one transaction that does nothing
shows whether it is free. Follows docs/spec/cli.md, section "Doctor".
"""

from __future__ import annotations

import json
import platform
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from panachain.cli.app import App, command, current
from panachain.errors import (
    BlockNotFoundError,
    ConfigurationError,
    LockedError,
    PanaChainError,
    PartlyDoneError,
    UnavailableError,
)
from panachain.model.actors import Role, handle_of
from panachain.plain import count, line

if TYPE_CHECKING:
    from panachain.chain.config import ChainConfig
    from panachain.chain.rpc import Rpc
    from panachain.config import Config
    from panachain.sdk.network import Network
    from panachain.sdk.profiles import Profile
    from panachain.wire.endpoints import Reach

CURVE: Final = "coincurve" if sys.version_info < (3, 14) else "btclib-secp256k1"
"""What brings libsecp256k1: coincurve has no wheels from Python 3.14 on."""
PACKAGES: Final = (CURVE, "cryptography", "web3", "eth-account", "ipfshttpclient", "fastapi")
"""Packages whose versions decide whether anything works."""

CLOCK_TOLERANCE: Final = 120
"""Seconds that the clock may differ from a chain that makes blocks all the time; proxies take requests of 60 s."""

PROXY_TIMEOUT: Final = 5
"""Seconds that a proxy, a relay or the gate may take to say that it is ready."""

MAXIMUM_ANSWER: Final = 65_536
"""Bytes of such an answer that are read."""


@dataclass(frozen=True)
class Check:
    """One line of the doctor's answer."""

    name: str
    state: str
    """`ok`, `note` (works, but look at it) or `bad`."""
    detail: str
    fix: str = ""
    exit_code: int = 0
    """What a bad one ends the command with."""

    def to_json(self) -> dict[str, object]:
        """Return the check as JSON, schema `panachain/check/1`."""
        return {
            "schema": "panachain/check/1",
            "name": self.name,
            "state": self.state,
            "detail": self.detail,
            "fix": self.fix,
        }


@command("doctor", examples="panachain doctor")
def doctor() -> None:
    """Check everything this machine needs, each with a fix.

    Versions, key stores, chains, contracts, clock, gate, store, proxies and relays. Ends with 0 when all is well,
    else with the exit code of the first thing that is bad.
    """
    app = current()
    checks = []
    for check in all_checks(app):
        checks.append(check)
        app.output.detail(f"{check.name}: {check.state}")
    app.output.many(
        checks,
        empty="",
        columns=("state", "name", "detail", "fix"),
        also=lambda check: {"fix": app.output.typed(str(check["fix"]))},
    )
    bad = [check for check in checks if check.state == "bad"]
    app.output.say(f"{count(len(checks), 'check')}, {len(bad)} bad.")
    if bad:
        click.get_current_context().exit(bad[0].exit_code)


def all_checks(app: App) -> Iterator[Check]:
    """Yield each check, as it is made."""
    yield from _versions()
    yield from _home(app.home)
    yield from _recovery(app.home)
    description = None
    try:
        description = _description(app.config.network_file)
    except PanaChainError as exc:
        yield _bad("network", exc, "panachain devnet up starts a local one")
    if description is None:
        return
    yield Check("network", "ok", str(app.config.network_file))
    for name in ("mainchain", "sidechain"):
        yield from _chain(name, description, app.config)
    yield from gate_checks(app.config.sidechain_rpc, description)
    yield from _services(app)
    yield from _guardians(app)
    yield from _relays(description)
    yield from _sidechain_payers(description, app.config)


def _versions() -> Iterator[Check]:
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] < (3, 15)
    yield Check("python", "ok" if fits else "bad", version, "" if fits else "use Python 3.11 to 3.14", 0 if fits else 1)
    for package in PACKAGES:
        try:
            yield Check(package, "ok", metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Check(
                package, "bad", "not installed", "./pana setup, or install the checkout once more (docs/operate)", 1
            )


def _home(home: Path) -> Iterator[Check]:
    if not home.exists():
        yield Check("home", "note", f"{home} doesn't exist yet", "panachain devnet up, or panachain init")
        return
    lax = [path for path in [home, *_secrets(home)] if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if lax:
        error = LockedError(f"others may look into {lax[0]}" + (f" and {len(lax) - 1} more" if len(lax) > 1 else ""))
        yield _bad("key stores", error, f"chmod -R go-rwx '{home}'")
    else:
        yield Check("key stores", "ok", f"{len(_secrets(home))} in {home}")


def _recovery(home: Path) -> Iterator[Check]:
    """Say of each profile whether it could be restored; what isn't known here is no fault, and worth a look."""
    from panachain.sdk.profiles import list_profiles
    from panachain.sdk.recovery import Recovery

    try:
        profiles = list_profiles(home)
    except PanaChainError as exc:
        yield _bad("profiles", exc, exc.hint)
        return
    for name, damage in profiles.damaged.items():
        # One of several: the others are looked at, and work.
        yield _bad(f"profile {name}", PartlyDoneError(str(damage), hint=damage.hint), "")
    for profile in profiles:
        name = f"recovery of {profile.name}"
        try:
            found = Recovery(profile).status()
        except PanaChainError as exc:
            yield Check(name, "note", str(exc), exc.hint)
            continue
        what = "shares" if found.state == "none" else "test"
        fix = f"panachain --profile {profile.name} recovery {what}" if found.advice else ""
        told = found.advice or f"{found.threshold} shares restore it; the last drill fitted"
        yield Check(name, "note" if found.advice else "ok", told, fix)


def _guardians(app: App) -> Iterator[Check]:
    """Say of each patient on this machine whether guardians move them: a move that its owner didn't want is urgent."""
    from panachain.sdk.guardians import told_of
    from panachain.sdk.profiles import list_profiles
    from panachain.sdk.times import iso

    try:
        patients = {one.address: one.name for one in list_profiles(app.home) if one.role is Role.PATIENT}
        if not patients:
            return
        with app.network() as network:
            found = told_of(network, patients)
    except PanaChainError as exc:
        yield Check("guardians", "note", f"it isn't known whether they move anybody: {exc}", exc.hint)
        return
    for one in found:
        name = patients[one.patient]
        what = f"may complete it from {iso(one.ready_at)} on" if one.is_open else "isn't chosen by enough of them yet"
        yield Check(
            f"guardians of {name}",
            "bad",
            f"they move this profile to {handle_of(one.successor, Role.PATIENT)}, who {what}",
            f"panachain --profile {name} recovery veto  # unless you asked them to",
            1,
        )
    if not found:
        yield Check("guardians", "ok", "nobody moves a profile of this machine to another account")


def _secrets(home: Path) -> list[Path]:
    return sorted(path for path in (home / "profiles").glob("*/seed.json") if path.is_file())


def _description(path: Path) -> Mapping[str, Any]:
    """Return the network file's content.

    Raises:
        ConfigurationError: there is none, or it is damaged.
    """
    from panachain.config import read_network

    try:
        content = json.loads(read_network(path))
    except FileNotFoundError:
        raise ConfigurationError(f"{path} doesn't exist") from None
    except (OSError, ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{path} can't be read as a network file") from exc
    if not isinstance(content, dict) or content.get("schema") != "panachain/network/1":
        raise ConfigurationError(f"{path} is no network file")
    return content


def _chain(name: str, description: Mapping[str, Any], config: Config) -> Iterator[Check]:
    from panachain.chain.config import ChainConfig

    try:
        chain = ChainConfig.parse(
            description.get(name, {}),
            config.network_file.parent,
            what=f"the network file's section `{name}`",
            urls=getattr(config, f"{name}_rpc"),
            quorum=getattr(config, f"{name}_quorum"),
        )
    except ConfigurationError as exc:
        yield _bad(name, exc, "panachain devnet up --fresh")
        return
    try:
        rpcs = chain.rpcs(timeout=config.timeout)
    except PanaChainError as exc:
        yield _bad(name, exc, "look at the files that the network file names")
        return
    try:
        ready = []
        for rpc in rpcs:
            check = _node(name if len(rpcs) == 1 else f"{name} {rpc.url}", rpc, chain, several=len(rpcs) > 1)
            yield check
            ready += [rpc] if check.state == "ok" else []
        if ready:
            yield from _agreed(name, ready[0], rpcs, chain)
    except PanaChainError as exc:
        yield _bad(f"nodes ({name})", exc, "ask the operators of the nodes that it names")
    finally:
        for rpc in rpcs:
            rpc.close()


def _node(name: str, rpc: Rpc, chain: ChainConfig, *, several: bool) -> Check:
    """Ask one node by itself; of several, one that is of no use is no fault as long as enough of them agree."""
    from panachain.chain import node

    try:
        found = node.chain_id(rpc)
        if found != chain.chain_id:
            raise ConfigurationError(f"chain ID {found}, but the network file says {chain.chain_id}")
        check = Check(name, "ok", f"chain ID {found}, block {node.block_number(rpc)}")
    except ConfigurationError as exc:
        check = _bad(name, exc, f"set {name.split()[0]}_rpc to the right node")
    except PanaChainError as exc:
        check = _bad(name, exc, "is it running? panachain devnet up, or look at the node")
    return replace(check, state="note") if several and check.state == "bad" else check


def _agreed(name: str, rpc: Rpc, rpcs: list[Rpc], chain: ChainConfig) -> Iterator[Check]:
    """Say what is believed of the nodes, and check what follows from their head."""
    from panachain.chain import node
    from panachain.chain.nodes import Anchor, Nodes

    nodes = Nodes(
        rpcs,
        chain_id=chain.chain_id,
        quorum=chain.quorum,
        anchor=Anchor(chain.from_block, chain.from_block_hash),
    )
    head = nodes.head()
    if nodes.several:
        detail = f"{nodes.quorum} of {len(rpcs)} agree on block {head.number}"
        named = "; ".join(f"{url} isn't believed: {reason}" for url, reason in nodes.named.items())
        fix = "ask who runs it, or take it out of the list" if named else ""
        yield Check(f"nodes ({name})", "note" if named else "ok", f"{detail}; {named}" if named else detail, fix)
    else:
        detail = (
            "one node is believed for which block is the newest and which chain is the true one; keys, grants, "
            "revocations and records are proven from there"
        )
        yield Check(f"nodes ({name})", "note", detail, f"name nodes of other operators, too: {name}_rpc")
    away = int(time.time()) - head.time
    if abs(away) > CLOCK_TOLERANCE:
        side = "ahead of" if away > 0 else "behind"
        fix = "set the clock, or look why the chain makes no blocks; a node may also hide the newest ones"
        yield Check(f"clock ({name})", "note", f"{abs(away)} s {side} the newest block", fix)
    else:
        yield Check(f"clock ({name})", "ok", f"{away} s from the newest block")
    missing = [label for label, address in chain.contracts.items() if not node.has_code(rpc, address)]
    if missing:
        error = ConfigurationError(f"no code at the address of {', '.join(missing)}")
        yield _bad(f"contracts ({name})", error, "panachain devnet up --fresh, or another network file")
    else:
        yield Check(f"contracts ({name})", "ok", f"{len(chain.contracts)} have code")


def gate_checks(urls: str, description: Mapping[str, Any]) -> Iterator[Check]:
    """Ask the sidechain as a stranger would: no node of it must answer."""
    from panachain.chain.node import QUESTION

    told = urls.split(",") if urls else description.get("sidechain", {}).get("url", "")
    entries = told if isinstance(told, list) else [told]
    targets = [str(one.get("url", "") if isinstance(one, dict) else one) for one in entries]
    for target in targets:
        name = "gate" if len(targets) == 1 else f"gate {target}"
        status, problem = fetch(target, QUESTION)
        if status in (401, 403):
            yield Check(name, "ok", f"the sidechain refuses strangers ({status})")
        elif status is None:
            # With mutual TLS the connection itself is refused.
            yield Check(name, "note", f"the sidechain gave a stranger no answer ({problem})")
        else:
            fix = "put panachain sidechain gate, or the node's own authentication, before its RPC (docs/spec/gate.md)"
            yield _bad(name, ConfigurationError(f"the sidechain answers a stranger with status {status}"), fix)


def _relays(description: Mapping[str, Any]) -> Iterator[Check]:
    urls = [str(url) for url in description.get("relays", ())]
    problems = [relay_problem(url, description) for url in urls]
    ready = problems.count(None)
    for url, problem in zip(urls, problems, strict=True):
        fix = "take it out of the network file, or ask who runs it" if problem else ""
        yield Check(f"relay {url}", "note" if problem else "ok", problem or "ready", fix)
    own = bool(description.get("relayKeyFile"))
    if ready or own:
        yield Check("relays", "ok", f"{ready} of {len(urls)} are ready{', and an own account' if own else ''}")
    else:
        error = UnavailableError(
            f"{ready} of {len(urls)} are ready, and there is no own account: no policy can be granted"
        )
        yield _bad("relays", error, "set relays or relayKeyFile in the network file")


def _sidechain_payers(description: Mapping[str, Any], config: Config) -> Iterator[Check]:
    """Say who pays for what persons do on the sidechain, and whether anybody must."""
    urls = [str(url) for url in description.get("sidechainRelays", ())]
    problems = [relay_problem(url, description, of_calls) for url in urls]
    ready = problems.count(None)
    for url, problem in zip(urls, problems, strict=True):
        fix = "take it out of the network file, or ask who runs it" if problem else ""
        yield Check(f"sidechain relay {url}", "note" if problem else "ok", problem or "ready", fix)
    own = bool(description.get("sidechainRelayKeyFile"))
    name = "sidechain gas"
    try:
        free = _is_free(description, config)
    except PanaChainError as exc:
        yield _bad(name, exc, "look at the sidechain's node first")
        return
    takes = "the chain takes transactions that pay nothing" if free else "the chain takes a price"
    if ready or own:
        told = f"persons sign, {ready} of {len(urls)} relays are ready{', and an own account pays' if own else ''}"
        yield Check(name, "ok", f"{told}; {takes}")
    elif urls:
        yield _bad(name, UnavailableError(f"none of {len(urls)} relays of the sidechain is ready; {takes}"), "as above")
    elif free and description["sidechain"].get("paid") is not True:
        yield Check(name, "ok", f"persons send by themselves; {takes}")
    else:
        error = ConfigurationError(f"nobody pays for what persons do there, and {takes}")
        yield replace(
            _bad(name, error, ""), fix="set `paid` of the sidechain, and sidechainRelays, in the network file"
        )


def _is_free(description: Mapping[str, Any], config: Config) -> bool:
    from panachain.chain.config import ChainConfig
    from panachain.chain.fees import takes_no_price

    chain = ChainConfig.parse(
        description.get("sidechain", {}),
        config.network_file.parent,
        what="the network file's section `sidechain`",
        urls=config.sidechain_rpc,
        quorum=config.sidechain_quorum,
    )
    rpc = chain.rpc(timeout=config.timeout)
    try:
        # To the forwarder, because a gate passes the sidechain's contracts only.
        return takes_no_price(rpc, chain.chain_id, to=chain.contracts.get("Forwarder"))
    finally:
        rpc.close()


def of_policies(told: Mapping[str, Any], description: Mapping[str, Any]) -> bool:
    """Tell whether what a relay says of itself is of this network's policies."""
    main = description["mainchain"]
    return bool(told["chain_id"] == main["chainId"] and told["policy_registry"] == main["contracts"]["PolicyRegistry"])


def of_calls(told: Mapping[str, Any], description: Mapping[str, Any]) -> bool:
    """Tell whether what a relay says of itself is of what persons do on this network's sidechain."""
    side = description["sidechain"]
    return bool(told["chain_id"] == side["chainId"] and told["forwarder"] == side["contracts"]["Forwarder"])


def relay_problem(
    url: str,
    description: Mapping[str, Any],
    fits: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] = of_policies,
) -> str | None:
    """Return why a relay is of no use, or None when it is ready for this network.

    Args:
        url: where it answers.
        description: the network file.
        fits: tells whether what it says of itself is of this network; a relay of policies, if it isn't said.
    """
    if not url.startswith(("http://", "https://")):
        return "it is no URL"
    status, answer = fetch(f"{url.rstrip('/')}/readyz")
    if status != 200:
        return answer if status is None else f"answers {status}"
    try:
        told = json.loads(answer)
        if not fits(told, description):
            return "it serves another network"
        return None if told["gas_left"] > 0 else "its budget is used up for now"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "its answer can't be read"


def fetch(url: str, body: bytes | None = None, *, check: Callable[[str], None] | None = None) -> tuple[int | None, str]:
    """Return status and content of an answer, or None and why there is none.

    Args:
        url: where it is asked.
        body: what is posted; None asks without one.
        check: looks at each address before it is connected to; None takes all.
    """
    from panachain.wire.client import Client, WireError, said
    from panachain.wire.transport import Bounds

    client = Client(check=check)
    bounds = Bounds(limit=MAXIMUM_ANSWER, total=PROXY_TIMEOUT)
    try:
        if body is None:
            answer = client.get(url, bounds=bounds, timeout=PROXY_TIMEOUT)
        else:
            headers = {"Content-Type": "application/json"}
            answer = client.post(url, body, bounds=bounds, timeout=PROXY_TIMEOUT, headers=headers)
    except WireError as exc:
        return None, f"doesn't answer ({said(exc)})"
    except PanaChainError as exc:
        return None, str(exc)
    finally:
        client.close()
    return answer.status, answer.content.decode("utf-8", "replace")


def _services(app: App) -> Iterator[Check]:
    try:
        with app.network() as network:
            yield _ask("store", lambda: store_state(network.store), "panachain devnet up, or look at ipfs_api")
            try:
                proxies = network.proxies()
            except PanaChainError as exc:
                yield _bad("proxies", exc, "panachain devnet status")
                return
            ready = 0
            for proxy in proxies:
                answer = ready_problem(network.reach, proxy.endpoint)
                ready += answer is None
                here = "panachain devnet up, or start it with panachain proxy serve"
                fix = here if network.faucet else "ask its operator"
                state = "ok" if answer is None else "note"
                name = handle_of(proxy.address, Role.PROXY)
                yield Check(f"proxy {name}", state, answer or "ready", fix if answer else "")
            if ready >= network.threshold:
                yield Check("proxies", "ok", f"{ready} of {len(proxies)} are ready, {network.threshold} are needed")
            else:
                error = UnavailableError(f"{ready} of {len(proxies)} are ready, {network.threshold} are needed")
                lacking = "its operators register proxies: panachain network add-proxy"
                yield _bad("proxies", error, "panachain devnet up" if network.faucet else lacking)
            yield from _key_blocks(app.home, network)
    except PanaChainError as exc:
        yield _bad("store", exc, "panachain config show --origin")


def _key_blocks(home: Path, network: Network) -> Iterator[Check]:
    """Say for each registered profile of this machine whether the store has its key block, and those before it."""
    from panachain.sdk.profiles import list_profiles

    for profile in list_profiles(home):
        name = f"key block of {profile.name}"

        def looked(profile: Profile = profile) -> str | None:
            known = network.resolver.known([profile.address])
            if not network.key_blocks.lacking(known or [profile.actor]):
                return "the store has it"
            if not known:
                return None
            raise BlockNotFoundError(
                "the store lacks it: nothing can be sealed to this actor, and nothing of theirs be verified",
                hint=f"panachain --profile {profile.name} register stores it again",
            )

        try:
            found = looked()
        except PanaChainError as exc:
            yield _bad(name, exc, "look at the store first")
        else:
            yield Check(name, "ok", found or "not registered yet, so nobody looks for it")


def store_state(store: Any) -> str:
    """Return the store's name after it has answered."""
    any_block = next(iter(store.blocks()), None)
    return f"{store.name}, {'holds blocks' if any_block is not None else 'empty'}"


def ready_problem(reach: Reach, endpoint: str) -> str | None:
    """Return why a proxy isn't ready, or None when it is."""
    try:
        url = reach.url(endpoint)
    except PanaChainError as exc:
        return str(exc)
    status, answer = fetch(f"{url}/readyz", check=reach.check_address)
    if status == 200:
        return None
    return answer if status is None else f"answers {status}"


def _ask(name: str, question: Callable[[], str], fix: str) -> Check:
    try:
        return Check(name, "ok", question())
    except PanaChainError as exc:
        return _bad(name, exc, fix)


def _bad(name: str, error: PanaChainError, fix: str) -> Check:
    # What every failure of a kind is told is less than what is known of this one.
    usual = line(error.usual_hint)
    return Check(name, "bad", str(error), fix if fix and error.hint == usual else error.hint, error.exit_code)
