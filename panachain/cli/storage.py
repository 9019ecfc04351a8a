"""What operators of stores type: `storage`.

Never needs a key: everything in the store is sealed. Only `gc` asks the chains, which say what must stay.
Follows docs/spec/cli.md, section "Storage".
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from panachain.cli.app import App, LazyGroup, command, current
from panachain.cli.values import Moment
from panachain.cli.words import size
from panachain.errors import IntegrityError, PanaChainError, PartlyDoneError, UsageError
from panachain.model.actors import Role
from panachain.plain import count, were

if TYPE_CHECKING:
    from panachain.ipld.cid import CID
    from panachain.sdk.named_blocks import NamedBlocks
    from panachain.storage.blocks import BlobStore


@click.group(
    "storage",
    cls=LazyGroup,
    epilog="""
        panachain storage status
        panachain storage repair
        panachain storage gc --dry-run
        panachain --profile clinic storage export records.car --all
        panachain storage export store.car --all-pins
        panachain storage import records.car
        panachain storage move configured s3://records/clinic
    """,
)
def storage() -> None:
    """Look at the store, mend it, clean it up, and carry it elsewhere."""


@command("status", examples="panachain storage status --json")
def status() -> None:
    """Show what each node of the store holds.

    Ends with 3 if some nodes don't answer, and with 7 if none does.
    """
    from panachain.sdk import storage as stores

    app = current()
    with _store(app) as store, app.output.progress("status") as progress:
        nodes = stores.status(store, progress=progress)
    app.output.many(nodes, empty="", columns=("name", "state", "blocks", "size", "pins", "detail"))
    failed = [node for node in nodes if node.state != "ok"]
    _say_hints(app, ((node.name, node.hint) for node in failed))
    if len(failed) == len(nodes):
        click.get_current_context().exit(failed[0].exit_code)
    if failed:
        raise PartlyDoneError(
            f"{len(failed)} of {len(nodes)} nodes don't answer or can't be used", hint="mend them, then repair"
        )


@command(
    "repair",
    unchanged="what was healed before stays healed",
    after="the same command again: it goes over everything once more",
    examples="""
        panachain storage repair
        panachain storage repair bafyreib...
    """,
)
@click.argument("cids", nargs=-1, metavar="[CID...]")
def repair(cids: tuple[str, ...]) -> None:
    """Check every block on every node, and heal it from the others.

    Begins at what any node pins and what the chains name, or at the CIDs that are given, and follows links. Every
    byte is read. A missing or damaged block is written anew from a node that has it; what nobody has is named, with
    the policy, hospital, patient, request or group that needs it. What was erased and is there again, because a backup
    was put back, is counted: by the store's notes, and by the journals of this machine's hospitals.
    """
    from panachain.sdk import storage as stores
    from panachain.sdk.named_blocks import counted

    app = current()
    roots = _cids(cids)
    with _store(app, probe=False) as store, app.output.progress("repair") as progress:
        named = _named(app, store) if not roots else None
        if named is not None:
            roots = [*stores.pinned(store), *named.roots]
        erased, unread = _erased(app)
        report = stores.repair(store, roots, erased=erased, progress=progress)
    absent = () if named is None else named.of(report.lost)
    if app.output.as_json:
        app.output.one(report.to_json() | {"named": [one.to_json() for one in absent]})
    else:
        nodes = [node.to_json() for node in report.nodes]
        app.output.many(nodes, empty="", columns=("name", "checked", "healed", "lost", "failure"))
        for one in absent:
            app.output.say(f"Nobody has {one.what} {one.cid} of {one.by}.")
    for notice in report.notices:
        app.output.warn(notice)
    _say_hints(app, ((node.name, node.hint) for node in report.nodes if node.failure))
    if report.lost:
        told = f" (of what the chains name: {counted(absent)})" if absent else ""
        raise IntegrityError(
            f"no node has the true bytes of {count(len(report.lost), 'block')}, such as {report.lost[0]}{told}",
            hint="import a CAR that holds them: panachain storage import FILE",
        )
    if named is not None and named.failures:
        raise PartlyDoneError(
            f"every block that is pinned was looked at; what the chains name wasn't: {named.failures[0]}",
            hint="panachain doctor shows which chain doesn't answer; then the same command again",
        )
    if not report.whole:
        raise PartlyDoneError("not every node has every block")
    keeping = [node for node in report.nodes if node.erased]
    if keeping:
        raise PartlyDoneError(
            f"every node has every block, and {keeping[0].name} still has"
            f" {count(keeping[0].erased, 'block')} of what was erased: no other node was given them",
            hint="`panachain --profile HOSPITAL erase --finish` completes an erasure; a store that was away meanwhile"
            " is emptied, and filled again by the same command; one that was put back from a backup is moved to a new"
            " one without them: panachain storage move",
        )
    if unread:
        raise PartlyDoneError(
            "every node has every block; whether it has again what was erased wasn't compared with what is known of it"
            f" at {', '.join(unread)}",
            hint="mend or restore the file that the warning names, then the same command again",
        )
    app.output.say("Every node has every block.")


@command(
    "gc",
    unchanged="what pins and the mainchain name is still there",
    examples="""
        panachain storage gc --dry-run
        panachain storage gc --older-than 7d --yes
    """,
)
@click.option(
    "--older-than",
    type=Moment(past=True),
    default="24h",
    show_default=True,
    help="Remove only what was stored before. Lower it only while nobody uploads.",
)
@click.option(
    "--without",
    "without",
    multiple=True,
    metavar="HOSPITAL",
    help="Pass over this hospital's manifests, which are broken; what its pinned lists name stays. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Count only.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def gc(older_than: int, without: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Remove blocks that nothing reaches any more.

    What pins and the mainchain name stays, with everything that it links. A Kubo node doesn't know when it stored a
    block: there, a block goes when two runs as far apart as the given time found it out of reach.
    """
    from panachain.sdk import storage as stores

    app = current()
    if not dry_run:
        app.confirm("Remove what nothing reaches from every node of the store?", yes=yes)
    now = time.time()
    with app.network() as network, app.output.progress("gc") as progress:
        grace = max(now - older_than, 0.0)
        found = stores.collect_garbage(
            network,
            now=now,
            grace=grace,
            dry_run=dry_run,
            without=[network.resolve(name, Role.HOSPITAL).address for name in without],
            progress=progress,
        )
    columns = ("name", "kept", "young", "removed", "freed")
    app.output.many(({"name": name, **part.to_json()} for name, part in found), empty="", columns=columns)
    removed = sum(part.removed for _, part in found)
    app.output.say(
        f"{count(removed, 'block')} of {size(sum(part.freed for _, part in found))} "
        + ("would go." if dry_run else "went.")
    )
    if dry_run:
        app.output.say("Dry run: nothing was removed.")


@command(
    "export",
    unchanged="the store is as it was, and no file is left",
    examples="""
        panachain --profile clinic storage export records.car --all
        panachain storage export store.car --all-pins
        panachain storage export batch.car bafyreib...
    """,
)
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("cids", nargs=-1, metavar="[CID...]")
@click.option("--all", "everything", is_flag=True, help="All that the hospital's profile published.")
@click.option("--all-pins", is_flag=True, help="The whole store: all that it pins, and all that the chains name.")
def export(target: Path, cids: tuple[str, ...], everything: bool, all_pins: bool) -> None:
    """Write everything that CIDs reach into a new CAR file.

    Any IPFS implementation reads it (`ipfs dag import FILE`). The same CIDs give the same bytes.
    """
    from panachain.sdk import storage as stores

    app = current()
    if everything + all_pins + bool(cids) != 1:
        raise UsageError(
            "name CIDs, or give --all for what a hospital's profile published, or --all-pins for the whole store"
        )
    roots = stores.journal_roots(app.profile(Role.HOSPITAL).folder) if everything else _cids(cids)
    with _store(app) as store, _new_file(target) as file, app.output.progress("export") as progress:
        if all_pins:
            # What the chains name and nobody has is a repair's affair: a CAR's roots are what it holds.
            roots = [*stores.pinned(store), *(cid for cid in _named_roots(app, store) if store.has_block(cid))]
        report = stores.export_car(store, roots, file, name=str(target), progress=progress)
    _print(app, report.to_json())
    if report.missing:
        app.unchanged = "the store is as it was"
        raise PartlyDoneError(
            f"not in the store: {count(len(report.missing), 'block')}; the file has the others",
            hint="panachain storage repair, then the same command with another FILE",
        )
    if report.erased:
        app.output.say(f"{were(report.erased, 'block')} erased, and not written to the file.")


@command(
    "import",
    unchanged="what the store held before is still there; what came in and isn't pinned goes with `storage gc`",
    after="the same command again, with a whole file",
    examples="panachain storage import records.car",
)
@click.argument("source", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(source: Path) -> None:
    """Store the blocks of a CAR file, and pin what its roots reach.

    Every block is checked against its CID. A root is pinned when all that it reaches is there.
    """
    from panachain.sdk import storage as stores

    app = current()
    with _store(app) as store, source.open("rb") as file, app.output.progress("import") as progress:
        total = os.fstat(file.fileno()).st_size
        report = stores.import_car(store, file, name=str(source), total=total, progress=progress)
    _print(app, report.to_json())
    if report.erased and not report.missing:
        raise PartlyDoneError(
            f"{count(report.erased, 'block')} of the file had been erased from the store, and isn't stored"
            f" again: {report.pinned} of {len(report.roots)} roots were pinned, all else of the file is stored",
            hint="a list that names what was erased isn't pinned: the store has one without it, or the hospital"
            " publishes anew",
        )
    if report.missing:
        raise PartlyDoneError(
            f"neither in the file nor in the store: {count(len(report.missing), 'block')} that its roots reach;"
            f" {report.pinned} of {len(report.roots)} roots were pinned",
            hint="import the file that holds them, then this one again",
        )


@command(
    "move",
    unchanged="the store that is moved is as it was; what arrived stays",
    after="the same command again: it goes on where it was",
    examples="""
        panachain storage move configured s3://records/clinic
        panachain storage move kubo:/ip4/127.0.0.1/tcp/5001 kubo:/ip4/10.0.0.7/tcp/5001
    """,
)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def move(source: str, target: str) -> None:
    """Copy a whole store into another one, and check every block there.

    FROM and TO are `configured`, `embedded:FOLDER`, `kubo:MULTIADDRESS` or `s3://BUCKET/PREFIX`. All that FROM pins
    and all that the chains name goes over; what TO has already isn't sent again. FROM stays as it is: name TO in the
    network file, then take FROM away.
    """
    from panachain.sdk import storage as stores

    app = current()
    if source == target:
        raise UsageError("FROM and TO are the same store")
    with closing(stores.open_named(app.config, source)) as old, closing(stores.open_named(app.config, target)) as new:
        named = [cid for cid in _named_roots(app, old) if old.has_block(cid)]
        with app.output.progress("move") as progress:
            report = stores.move(old, new, named, progress=progress)
    _print(app, report.to_json())
    if report.missing:
        raise PartlyDoneError(
            f"in neither store: {count(len(report.missing), 'block')}, such as {report.missing[0]}",
            hint="panachain storage repair, then the same command again",
        )
    if report.erased:
        app.output.say(f"{were(report.erased, 'block')} erased, and not copied.")
    app.output.say("Every block is there, and true.")


@command(
    "replicate",
    unchanged="the store is as it was; what services were asked for stays asked for",
    after="the same command again: it goes on where it was",
    examples="panachain storage replicate",
)
def replicate() -> None:
    """Let the pinning services of the network file pin what the store pins, and give up what it gave up.

    They fetch the blocks from the store's nodes by themselves. Run it regularly: it asks for what is missing, for what
    a service gave up, and shows how far each one is.
    """
    from panachain.sdk import storage as stores

    app = current()
    reports = []
    with _store(app) as store, app.output.progress("replicate") as progress:
        pins = stores.pinned(store)
        for service in stores.pinning_services(app.config):
            with closing(service):
                reports.append(stores.replicate(pins, service, progress=progress))
    columns = ("service", "wanted", "pinned", "waiting", "added", "removed")
    app.output.many([report.to_json() for report in reports], empty="", columns=columns)
    if not all(report.whole for report in reports):
        raise PartlyDoneError(
            "not every service keeps everything yet", hint="the same command again shows how far they are"
        )


for _one in (status, repair, gc, export, import_, move, replicate):
    storage.add_command(_one)


def _print(app: App, fields: dict[str, object]) -> None:
    if not app.output.as_json:
        # For people, how many.
        fields = fields | {name: len(value) for name, value in fields.items() if isinstance(value, list)}
    app.output.one(fields)


def _say_hints(app: App, hints: Iterable[tuple[str, str]]) -> None:
    """Say what helps at each node that failed; nodes that need the same are named together."""
    nodes: dict[str, list[str]] = {}
    for name, hint in hints:
        nodes.setdefault(hint, []).append(name)
    if not app.output.as_json:
        for hint, names in nodes.items():
            app.output.say(f"{', '.join(names)}: {hint}")


def _erased(app: App) -> tuple[list[CID], list[str]]:
    """Return what the journals of this machine's hospitals know to be erased, and the profiles that couldn't be read.

    A store is mended whatever state those files are in: without them its own notes count.
    """
    from panachain.sdk import storage as stores
    from panachain.sdk.profiles import load_profile, profile_names

    found: list[CID] = []
    unread: list[str] = []

    def without(whose: str, why: object) -> None:
        app.output.warn(f"what {whose} erased isn't compared with the store: {why}")
        unread.append(whose)

    try:
        names = profile_names(app.home)
    except (PanaChainError, OSError) as exc:
        without("this machine's hospitals", exc)
        names = []
    for name in names:
        try:
            # Each by itself: whose file is damaged may be a hospital or not, and keeps no other from being asked.
            profile = load_profile(app.home, name)
            if profile.role is Role.HOSPITAL:
                found += stores.journal_erased(profile.folder)
        except (PanaChainError, OSError) as exc:
            without(name, exc)
    return found, unread


def _named(app: App, store: BlobStore) -> NamedBlocks | None:
    """Return what the chains name, or None where the settings name no chain."""
    from panachain.sdk.named_blocks import named_blocks
    from panachain.sdk.network_file import read_description

    if not app.config.network_file.is_file() or "mainchain" not in read_description(app.config):
        return None
    with app.network() as network:
        return named_blocks(network, store)


def _named_roots(app: App, store: BlobStore) -> tuple[CID, ...]:
    named = _named(app, store)
    if named is None:
        return ()
    if named.failures:
        app.output.say(f"Some of what the chains name wasn't looked at: {named.failures[0]}")
    return named.roots


def _cids(texts: tuple[str, ...]) -> list[CID]:
    from panachain.ipld.cid import CID

    return [CID.parse(text) for text in texts]


@contextmanager
def _store(app: App, *, probe: bool = True) -> Iterator[BlobStore]:
    from panachain.sdk.storage import open_configured

    store = open_configured(app.config, probe=probe)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _new_file(target: Path) -> Iterator[BinaryIO]:
    """Give a file that appears whole at the end, readable by its owner only, or not at all.

    Raises:
        UsageError: it exists already.
    """
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} exists already; it was left as it is", hint="name another file")
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
