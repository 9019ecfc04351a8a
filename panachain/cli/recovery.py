"""`recovery shares|test|status|books` and `restore`: shares on paper, drills, and a profile from its shares.

Never takes a share or a passphrase from an argument, and never prints a share where a program could keep it: shares go
to a terminal, one after the other, or into private files. Follows docs/spec/recovery.md.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from panachain.cli import words
from panachain.cli.app import App, LazyGroup, command, current, end
from panachain.errors import (
    ConfigurationError,
    DiskError,
    Omission,
    PanaChainError,
    PartlyDoneError,
    ShareError,
    SharesTooFewError,
    UnavailableError,
    UsageError,
)
from panachain.model.actors import Role

if TYPE_CHECKING:
    from panachain.passphrase import Hidden
    from panachain.sdk.network import Network
    from panachain.sdk.profiles import Profile
    from panachain.sdk.recovery import RecoveryShare
    from panachain.sdk.results.recovery import RestoredReport

_TRIES: Final = 20
"""Shares that are asked for on a terminal, wrong ones too."""
_CLEAR: Final = "\x1b[2J\x1b[3J\x1b[H"
"""Clears a terminal, with what was scrolled out of sight."""
_ROLES: Final = (Role.PATIENT, Role.HOSPITAL, Role.PRACTITIONER, Role.RESEARCHER, Role.REGISTRAR)
_COUNTS: Final = (
    "hospitals",
    "patients",
    "batches",
    "records",
    "policies",
    "in_force",
    "readings",
    "requests",
    "groups",
    "contacts",
)

_share_files = click.option(
    "--share",
    "files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A page or text with one share; without enough of them, shares are asked for.",
)


_GUARDIANS: Final = "panachain.cli.guardians:"


@click.group(
    "recovery",
    cls=LazyGroup,
    lazy={
        "guardians": (f"{_GUARDIANS}guardians", "Name people who restore your seed together."),
        "veto": (f"{_GUARDIANS}veto", "Stop guardians who move you to another account."),
        "freeze": (f"{_GUARDIANS}freeze", "Let nobody new be named or paired with for 72 hours."),
        "ask": (f"{_GUARDIANS}ask", "On a new device: ask guardians for their shares."),
        "complete": (f"{_GUARDIANS}complete", "Be the patient whom guardians moved to this account."),
        "inherited": (f"{_GUARDIANS}inherited", "Show the accounts that were moved to this one."),
    },
    epilog="""
        panachain recovery shares --threshold 2 --of 3
        panachain recovery test
        panachain recovery guardians set sister doctor notary --threshold 2
        panachain recovery status
    """,
)
def recovery() -> None:
    """Keep a profile's seed as shares, on paper or with guardians: some restore it, and fewer tell nothing."""


@command(
    "shares",
    unchanged="shares that were made before still restore the profile",
    examples="""
        panachain --profile me recovery shares --threshold 2 --of 3
        panachain --profile me recovery shares -o /media/a/1.html -o /media/b/2.html -o /media/c/3.html
    """,
)
@click.option("--threshold", metavar="T", type=int, default=2, show_default=True, help="How many restore the profile.")
@click.option("--of", "count", metavar="N", type=int, default=3, show_default=True, help="How many are made.")
@click.option(
    "-o",
    "--output",
    "files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A new file for one share, N times: .html for a page to print, else text.",
)
@click.option("--together", is_flag=True, help="Allow several of these files in one folder.")
def shares(threshold: int, count: int, files: tuple[Path, ...], together: bool) -> None:
    """Make N shares of the seed; any T of them restore the profile.

    Without -o they are shown one after the other, to be written down. Each goes to a person or place of its own.
    """
    from panachain.passphrase import Hidden
    from panachain.sdk.profiles import unlock
    from panachain.sdk.recovery import Recovery

    app = current()
    profile = app.profile()
    if files:
        _check_files(files, count, together=together)
    elif app.output.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("there is no terminal to show shares on", hint="name a file for each of them with -o")
    secret = app.secret(profile, agent=False)
    # Hidden, since a traceback that shows variables must not show it.
    hidden = Hidden(secret) if isinstance(secret, str) else secret
    del secret
    backup = Recovery(profile, lambda: unlock(profile, hidden.reveal() if isinstance(hidden, Hidden) else hidden))
    made = backup.shares(threshold=threshold, of=count)
    try:
        if files:
            _write(files, made)
        else:
            _show(made)
    except BaseException:
        backup.forget(made[0].set)
        raise
    report = backup.report(made, files)
    app.output.one(report, fields=("profile", "set", "threshold", "count", "files"), titles=_TITLES)
    if together:
        app.output.warn("the shares lie together: whoever has that folder has the seed, until each is elsewhere")
    app.output.next("panachain recovery test  # once every share is where it belongs")


_TITLES: Final = {"threshold": "needed", "count": "shares", "made_at": "made", "tested_at": "tried"}


@command("test", unchanged="nothing was written, and the shares are as they were", examples="panachain recovery test")
@_share_files
def test(files: tuple[Path, ...]) -> None:
    """Try shares: say whether they make this profile's seed.

    Nothing of them is kept; the day of the drill and the numbers of the shares are. No passphrase is needed.
    """
    from panachain.sdk.recovery import Recovery

    app = current()
    backup = Recovery(app.profile())
    report = backup.test(_given(app, files))
    app.output.one(report, fields=("profile", "set", "threshold", "used"), titles=_TITLES)
    numbers = ", ".join(map(str, report.used))
    app.output.say(f"Shares {numbers} fit: they restore profile {report.profile}. Nothing of them was kept.")


@command("status", examples="panachain recovery status")
def status() -> None:
    """Show when shares were made, how many are needed, and when they were tried last."""
    from panachain.sdk.profiles import Profiles, list_profiles
    from panachain.sdk.recovery import Recovery
    from panachain.sdk.results.recovery import RecoveryStatus

    app = current()
    profiles = Profiles([app.profile()]) if app.config.profile else list_profiles(app.home)
    found, left_out = list[RecoveryStatus](), list(profiles.omissions)
    for profile in profiles:
        try:
            found.append(Recovery(profile).status())
        except PanaChainError as exc:
            left_out.append(Omission("", f"profile {profile.name}", exc))
    app.output.many(
        found,
        empty="There is no profile on this machine.",
        columns=("profile", "state", "threshold", "count", "made_at", "tested_at"),
        more=("set", "tested", "earlier"),
        titles=_TITLES,
        also=lambda row: {
            "made_at": _day(row["made_at"]),
            "tested_at": _day(row["tested_at"]),
            "threshold": row["threshold"] or "",
            "count": row["count"] or "",
        },
    )
    for one in found:
        if one.advice:
            app.output.say(f"{one.profile}: {one.advice}.")
    needed = [one for one in found if one.advice]
    if needed:
        what = ("shares" if one.state == "none" else "test" for one in needed)
        app.output.next(
            *(f"panachain --profile {one.profile} recovery {do}" for one, do in zip(needed, what, strict=True))
        )
    _warn(app, profiles)
    if left_out:
        partly = PartlyDoneError.of(left_out, done="of the other profiles it is known how they can be restored")
        end(app, partly)


def _warn(app: App, profiles: Sequence[Profile]) -> None:
    """Say what guardians began, where the network answers."""
    patients = [profile.address for profile in profiles if profile.role is Role.PATIENT]
    if not patients:
        return
    try:
        with app.network() as network:
            app.tell_of_guardians(network, patients)
    except ConfigurationError:
        # There is no network yet, so nobody has a guardian.
        return
    except UnavailableError as exc:
        app.output.warn(f"whether guardians move one of these profiles isn't known: {exc}")


@command(
    "books",
    unchanged="the books that were kept before stay",
    after="the same command again: it sends nothing twice",
    examples="panachain --profile me recovery books",
)
def books() -> None:
    """Keep a patient's contacts and block list in the store, sealed to themselves, where `restore` finds them.

    The sidechain shows its nodes that there are books, and when they changed. Run it again after a change.
    """
    app = current()
    with app.acting(Role.PATIENT) as patient:
        report = patient.books.keep()
    app.output.one(report, fields=("contacts", "blocked"))
    app.output.say("The store keeps them." if report.tx else "They were kept already: nothing was sent.")


for _command in (shares, test, status, books):
    recovery.add_command(_command)


@command(
    "restore",
    unchanged="the shares are as they were, and a profile that was restored stays",
    examples="""
        panachain --profile me restore
        panachain --profile me restore --share /media/a/1.html --share /media/b/2.html
        panachain --profile me restore --answer "panachain/answer/1 bafkrei…" --answer "panachain/answer/1 bafkrei…"
    """,
)
@_share_files
@click.option(
    "--answer", "answers", metavar="LINE", multiple=True, help="What a guardian sent to this device's `recovery ask`."
)
@click.option("--who", default="", metavar="HANDLE|ADDRESS", help="Whose seed it must be, as the pages show it.")
@click.option("--role", type=click.Choice([role.value for role in _ROLES]), help="What the actor is, if nothing tells.")
def restore(files: tuple[Path, ...], answers: tuple[str, ...], who: str, role: str | None) -> None:
    """Make a profile from enough of its shares, and find everything of it again.

    Guardians' answers are opened by the passphrase of `recovery ask`, which the profile keeps. Other shares are typed
    or pasted when they are asked for. What they make is compared with the account that the pages show, or with the
    registries, before anything is written. The passphrase of the new profile needn't be the old one.
    """
    app = current()
    if files and answers:
        raise UsageError("pages and guardians' answers are different sets", hint="give --share or --answer")
    given = [] if answers else _given(app, files)
    with ExitStack() as stack:
        network, problem = _network(app, stack)
        kept: list[Hidden] = []
        if answers:
            given = _answered(app, network, problem, answers, kept)
        profile, hidden = _restored(app, given, network, who, Role(role) if role else None, kept)
        if answers:
            from panachain.sdk.asking import Asking

            Asking(app.home).end()
        if network is None:
            raise PartlyDoneError(
                f"profile {profile.name!r} is restored, and the chains weren't asked for what is its: {problem}",
                hint=f"get the network's file, then: panachain --profile {profile.name} whoami",
            )
        from panachain.sdk import open_actor
        from panachain.sdk.restoring import look_around

        with app.output.progress("open") as progress, open_actor(network, profile, hidden) as actor:
            report = look_around(actor, progress=progress)
    _show_restored(app, report)


def _network(app: App, stack: ExitStack) -> tuple[Network | None, str]:
    """Open the network for as long as the stack lives; without one say why there is none."""
    try:
        return stack.enter_context(app.network()), ""
    except (ConfigurationError, UnavailableError) as exc:
        return None, str(exc)


def _answered(
    app: App, network: Network | None, problem: str, answers: Sequence[str], kept: list[Hidden]
) -> list[RecoveryShare]:
    """Return the shares in guardians' answers, and keep the passphrase that the question was made with."""
    from panachain.passphrase import Hidden
    from panachain.sdk.asking import Asking

    if network is None:
        raise UnavailableError(f"answers of guardians lie in the store, and there is none: {problem}")

    def passphrase() -> Hidden:
        kept.append(Hidden(app.passphrase("recovery ask")))
        return kept[-1]

    return Asking(app.home).answers(network, answers, passphrase)


def _restored(
    app: App,
    given: Sequence[RecoveryShare],
    network: Network | None,
    who: str,
    role: Role | None,
    kept: list[Hidden],
) -> tuple[Profile, Hidden]:
    from panachain.passphrase import Hidden
    from panachain.sdk.restoring import restore_profile

    name = app.config.profile

    def passphrase() -> Hidden:
        if not kept:
            kept.append(Hidden(app.passphrase(f"the restored profile {name}".rstrip(), confirm=True)))
        return kept[-1]

    return restore_profile(app.home, name, given, passphrase, network=network, who=who, role=role), kept[-1]


def _show_restored(app: App, report: RestoredReport) -> None:
    app.output.one(
        report,
        fields=("profile", "role", "status", "address", *(name for name in _COUNTS if getattr(report, name))),
        titles={"hospitals": "hospitals", "in_force": "in force"},
        whole=("address",),
    )
    if report.omissions:
        app.output.left_out(report.omissions)
        raise PartlyDoneError(
            f"profile {report.profile!r} is restored; {words.count(len(report.omissions), 'thing')} couldn't be read",
            hint=f"panachain --profile {report.profile} doctor",
            omissions=report.omissions,
            result=report,
        )
    if not report.contacts:
        app.output.say(
            "There are no books with names that you gave people: panachain contacts add gives them again, or a copy of"
            " the old home does."
        )


def _given(app: App, files: Sequence[Path]) -> list[RecoveryShare]:
    """Return the shares in files, and as many from the terminal as are still needed."""
    from panachain.sdk.recovery import check_together, read_file, read_share

    found: list[RecoveryShare] = []
    for path in files:
        found.append(read_file(path))
        check_together(found)
    if found and len(found) >= found[0].threshold:
        return found
    if not sys.stdin.isatty():
        if found:
            needed = found[0].threshold
            raise SharesTooFewError(f"{len(found)} of the {needed} shares that are needed were given")
        raise UsageError("there is no terminal to ask for shares on", hint="name a file with each: --share FILE")
    for _ in range(_TRIES):
        needed = found[0].threshold if found else 0
        if found and len(found) >= needed:
            return found
        which = f"Share {len(found) + 1}" + (f" of {needed}" if needed else "")
        # Shown while it is typed: nobody types 33 words without seeing them.
        text: str = click.prompt(f"{which}: its 33 words, or what the camera read", err=True, show_default=False)
        try:
            share = read_share(text)
            check_together([*found, share])
        except ShareError as exc:
            app.output.warn(f"{exc}; {exc.hint}")
            continue
        found.append(share)
        app.output.say(f"Share {share.number} of set {share.set!r} was taken.")
    if found and len(found) >= found[0].threshold:
        return found
    raise SharesTooFewError(f"{words.count(len(found), 'share')} after {_TRIES} tries")


def _check_files(files: Sequence[Path], count: int, *, together: bool) -> None:
    """Check before anything is made that each share has a new file of its own, in a place of its own."""
    if len(files) != count:
        raise UsageError(f"{count} shares need {count} files, and {len(files)} are named")
    for path in files:
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} exists already; it was left as it is", hint="name another file")
        if not path.absolute().parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}")
    places = [path.absolute().parent.resolve() for path in files]
    if len({place / path.name for place, path in zip(places, files, strict=True)}) != count:
        raise UsageError("a file is named twice")
    if len(set(places)) != count and not together:
        raise UsageError(
            "several shares in one folder are as good as the seed",
            hint="name a folder for each, such as that of a memory stick, or add --together",
        )


def _write(files: Sequence[Path], made: Sequence[RecoveryShare]) -> None:
    """Write each share into its file, for its owner only; all of them or none."""
    from panachain.sdk.recovery_page import page

    done: list[Path] = []
    day = words.when(int(time.time())).partition(",")[0]
    try:
        for path, share in zip(files, made, strict=True):
            text = page(share, count=len(made), made=day) if path.suffix.lower() == ".html" else share.reveal() + "\n"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            done.append(path)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
    except BaseException as exc:
        # Interrupted, too: a share that nobody knows of is one that somebody finds.
        for path in done:
            path.unlink(missing_ok=True)
        if isinstance(exc, OSError):
            raise DiskError(f"a share can't be written: {exc.strerror}") from exc
        raise


def _show(made: Sequence[RecoveryShare]) -> None:
    """Show one share after the other on the terminal, and clear it after each."""
    for share in made:
        listed = [f"{place:>2}. {word:<9}" for place, word in enumerate(share.words(), 1)]
        rows = ["   ".join(listed[row::11]) for row in range(11)]
        title = f"Share {share.number} of {len(made)}; any {share.threshold} restore {share.handle}"
        click.echo("\n".join((title, "", *rows, "")), err=True)
        try:
            click.confirm("Is it written down?", abort=True, err=True)
        finally:
            click.echo(_CLEAR, err=True, nl=False)


def _day(seconds: object) -> str:
    return words.when(seconds).partition(",")[0] if isinstance(seconds, int) and seconds else ""
