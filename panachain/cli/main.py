"""The command line's root: its commands, and how each failure ends.

Never prints a traceback unless `--debug` asks for it. Follows docs/spec/cli.md, section "Exit codes".
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from panachain.cli.app import UNTOUCHED, App, LazyGroup
from panachain.cli.output import UnwrittenError, put
from panachain.cli.talk import clean_talk
from panachain.errors import AccessDeniedError, DiskError, LockedError, PanaChainError, UnavailableError, UsageError
from panachain.plain import trace

INTERRUPTED: Final = 130
"""128 + SIGINT."""

_ELSEWHERE: Final = "have it written where there is room; a command that lists or shows can simply be repeated"

_COMMANDS: Final = "panachain.cli."

COMMANDS: Final = {
    "init": (f"{_COMMANDS}identity:init", "Make a profile: one actor with one seed."),
    "register": (f"{_COMMANDS}identity:register", "Enter the profile's actor on its chain."),
    "whoami": (f"{_COMMANDS}identity:whoami", "Show the profile's actor."),
    "key": (f"{_COMMANDS}key:key", "What opens a profile: its passphrase, security keys and passkeys."),
    "recovery": (f"{_COMMANDS}recovery:recovery", "Keep the seed as shares, on paper or with guardians."),
    "restore": (f"{_COMMANDS}recovery:restore", "Make a profile again from its shares."),
    "guardian": (f"{_COMMANDS}guardians:guardian", "See whom you guard, release your share, move a patient."),
    "unlock": (f"{_COMMANDS}agent:unlock", "Keep a profile unlocked for a while."),
    "lock": (f"{_COMMANDS}agent:lock", "Lock a profile that was unlocked."),
    "contacts": (f"{_COMMANDS}contacts:contacts", "Give people and organisations names of your own."),
    "block": (f"{_COMMANDS}blocked:block", "Hear nothing more of somebody."),
    "unblock": (f"{_COMMANDS}blocked:unblock", "Hear of somebody again."),
    "blocked": (f"{_COMMANDS}blocked:blocked", "List whom you block."),
    "doctor": (f"{_COMMANDS}doctor:doctor", "Check everything this machine needs, each with a fix."),
    "config": (f"{_COMMANDS}settings:config", "Show the settings and where they come from."),
    "completion": (f"{_COMMANDS}settings:completion", "Print a shell's completion script."),
    "pair": (f"{_COMMANDS}patient:pair", "Let a hospital add to your records; it can read none."),
    "unpair": (f"{_COMMANDS}patient:unpair", "Take that assent back."),
    "choices": (f"{_COMMANDS}choices:choices", "Show or change which kinds every hospital closes for you."),
    "recategorize": (f"{_COMMANDS}choices:recategorize", "Have records in another category."),
    "records": (f"{_COMMANDS}hospital:records", "List your records, or open one."),
    "summary": (f"{_COMMANDS}summary:summary", "Make a patient summary of what you can open."),
    "search": (f"{_COMMANDS}search:search", "Find records by their words."),
    "grant": (f"{_COMMANDS}patient:grant", "Let somebody read a part of your records."),
    "policies": (f"{_COMMANDS}patient:policies", "List the policies that you granted."),
    "policy": (f"{_COMMANDS}policy:policy", "Explain a policy; carry it as a FHIR Consent."),
    "log": (f"{_COMMANDS}patient:log", "Show who read what, when and why."),
    "revoke": (f"{_COMMANDS}patient:revoke", "Take a policy back."),
    "reissue": (f"{_COMMANDS}patient:reissue", "Grant a policy again, with other proxies."),
    "settle": (f"{_COMMANDS}patient:settle", "Finish what was interrupted."),
    "requests": (f"{_COMMANDS}patient:requests", "List requests for access."),
    "approve": (f"{_COMMANDS}patient:approve", "Grant what a request asks for."),
    "deny": (f"{_COMMANDS}patient:deny", "Refuse a request."),
    "convict": (f"{_COMMANDS}patient:convict", "Submit a proxy's receipts for a service that wasn't allowed."),
    "trace": (f"{_COMMANDS}tracing:trace", "Find whose key leaked, or who opened what leaked."),
    "suspend": (f"{_COMMANDS}tracing:suspend", "End everything that was granted to somebody."),
    "notify": (f"{_COMMANDS}notify:notify", "Choose where messages go about what happens to you."),
    "watch": (f"{_COMMANDS}notify:watch", "Follow the chains, and tell what happens to you."),
    "upload": (f"{_COMMANDS}hospital:upload", "Seal patients' records and publish them."),
    "assign": (f"{_COMMANDS}assign:assign", "Propose whose each file of a mixed folder is."),
    "classify": (f"{_COMMANDS}classify:classify", "Show what of a file is sensitive, and why."),
    "withdraw": (f"{_COMMANDS}hospital:withdraw", "Take back records that you published."),
    "erase": (f"{_COMMANDS}erase:erase", "Erase records for ever, or ask for it."),
    "rewrap": (f"{_COMMANDS}hospital:rewrap", "Move records where patients ask for it."),
    "submit": (f"{_COMMANDS}submit:submit", "Submit a patient's signed revocation."),
    "inbox": (f"{_COMMANDS}practitioner:inbox", "List the policies that were granted to you."),
    "readings": (f"{_COMMANDS}own_readings:readings", "Show what you opened, and for whom."),
    "open": (f"{_COMMANDS}practitioner:open_", "Open the records of a policy into a folder."),
    "emergency": (f"{_COMMANDS}emergency:emergency", "Prepare for an emergency, or break the glass."),
    "ward": (f"{_COMMANDS}ward:ward", "Act for a minor or an adult under care."),
    "request": (f"{_COMMANDS}practitioner:request", "Ask a patient for access."),
    "refer": (f"{_COMMANDS}practitioner:refer", "Ask a patient to let a specialist read."),
    "group": (f"{_COMMANDS}group:group", "Manage care teams and departments."),
    "export": (f"{_COMMANDS}export:export", "Take your own records along: a folder to print, or one Bundle."),
    "share": (f"{_COMMANDS}share:share", "Share records by a link, with whoever has no PanaChain."),
    "query": (f"{_COMMANDS}research:query", "Query policies or storage transactions on chain."),
    "viewer": (f"{_COMMANDS}viewer:viewer", "Publish software that runs over records, and check who published it."),
    "portal": ("panachain.portal.command:portal", "Show everything in a browser."),
    "devnet": ("panachain.devnet.command:devnet", "Run a network of your own: two chains, a store, proxies."),
    "deploy": (f"{_COMMANDS}deploy:deploy", "Deploy a network's contracts to both chains."),
    "network": (f"{_COMMANDS}network:network", "Check a network, and let proxies and hospitals join it."),
    "proxy": (f"{_COMMANDS}proxy:proxy", "Run a re-encryption proxy."),
    "relay": (f"{_COMMANDS}relay:relay", "Pay for patients' policy transactions."),
    "sidechain": (f"{_COMMANDS}sidechain:sidechain", "Keep the sidechain private."),
    "gate": (f"{_COMMANDS}services:gate", "Run the gate before the sidechain."),
    "index": (f"{_COMMANDS}services:index", "Keep this machine's copies of both chains current."),
    "backup": (f"{_COMMANDS}backup:backup", "Save a home or a service's folder, and restore it."),
    "storage": (f"{_COMMANDS}storage:storage", "Look at the store, mend it, clean it up, carry it elsewhere."),
}
"""Name → (where the command is, its short help)."""

SECTIONS: Final = {
    "Everybody": (
        *("init", "register", "whoami", "unlock", "lock", "key", "recovery", "restore", "guardian"),
        *("portal", "contacts", "notify", "watch", "share", "viewer", "submit", "doctor", "backup", "config"),
        "completion",
    ),
    "Patients": (
        *("pair", "unpair", "choices", "records", "search", "summary", "export", "recategorize", "erase"),
        *("grant", "policies", "policy"),
        *("log", "revoke", "reissue", "settle", "requests", "approve", "deny", "emergency", "block", "unblock"),
        *("blocked", "convict", "trace", "ward"),
    ),
    "Hospitals": (
        *("classify", "assign", "upload", "records", "withdraw", "erase", "rewrap", "settle", "viewer"),
        *("readings", "storage"),
    ),
    "Practitioners": (
        *("inbox", "open", "search", "summary", "request", "refer", "requests", "policy", "group", "emergency"),
        *("readings", "block"),
    ),
    "Researchers": ("query", "inbox", "open", "search", "readings", "policy", "viewer", "block"),
    "Operators": (
        *("devnet", "deploy", "network", "proxy", "relay", "gate", "sidechain", "index", "storage", "backup"),
        *("trace", "suspend"),
    ),
}
"""Who does it → the commands, in the order of use; some are for several."""


def _version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        # Imported here: it takes as long as all the rest of `--help`.
        from importlib import metadata

        try:
            version = metadata.version("panachain")
        except metadata.PackageNotFoundError:
            version = _checkout_version()
        click.echo(f"panachain {version}")
        context.exit()


def _checkout_version() -> str:
    """Return the version of a checkout, which `./pana` runs without installing it."""
    import tomllib

    with (Path(__file__).resolve().parents[2] / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


@click.group(
    "panachain",
    cls=LazyGroup,
    lazy=COMMANDS,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
        panachain devnet up
        panachain --profile me init --role patient
        panachain --profile me grant doctor --category laboratory --purpose TREAT --until 30d
    """,
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def cli() -> None:
    """Health records that belong to their patients.

    Data goes to standard output, talk to standard error. Every command takes --json, and --long for what is shortened.
    Settings come from options, then from PANACHAIN_* variables, then from panachain.toml.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: what was typed after `panachain`; None takes the process's own.
    """
    with clean_talk():
        return _run(App(), arguments)


def _run(app: App, arguments: Sequence[str] | None) -> int:
    try:
        result = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="panachain",
            complete_var="_PANACHAIN_COMPLETE",
            standalone_mode=False,
            obj=app,
        )
        put()
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        # The reader went away, as `head` does. Python would flush again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, click.Abort):
        _trace(app)
        app.output.say("interrupted")
        return INTERRUPTED
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except UnwrittenError as exc:
        app.unchanged = "what the command did stays done; its result wasn't written, or not to its end"
        return _fail(app, DiskError(f"the result can't be written to standard output: {exc}", hint=_ELSEWHERE))
    except click.UsageError as exc:
        # Options that stand behind the wrong one weren't looked at; whoever reads JSON gets it all the same.
        app.output.as_json |= "--json" in _options(arguments)
        app.command = exc.ctx.command_path.removeprefix("panachain ") if exc.ctx else app.command
        return _fail(app, _usage(exc))
    except click.ClickException as exc:
        return _fail(app, PanaChainError(exc.format_message()))
    except PanaChainError as exc:
        return _fail(app, exc)
    except OSError as exc:
        return _fail(app, _disk(exc))
    except Exception as exc:  # noqa: BLE001 - the last line of defence: no traceback reaches a user.
        # Only the type: an unforeseen message could hold what must not be printed.
        name = type(exc).__name__
        return _fail(app, PanaChainError(f"unforeseen {name}", hint="run it again with --debug and report it"))


def _options(arguments: Sequence[str] | None) -> Sequence[str]:
    """Return what was typed before `--`, behind which nothing is an option."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    return typed[: typed.index("--")] if "--" in typed else typed


def _fail(app: App, error: PanaChainError) -> int:
    _trace(app)
    # These two are raised before anything is done; others can come in the middle of the work.
    early = isinstance(error, UsageError | LockedError)
    unchanged = UNTOUCHED if early else app.unchanged
    # The same again helps neither against a mistake nor against a rule.
    hint = "" if early or isinstance(error, AccessDeniedError) else app.after
    if not hint and isinstance(error, UnavailableError):
        hint = "panachain doctor"
    app.output.fail(app.command, error, unchanged=unchanged, hint=hint)
    return error.exit_code


def _trace(app: App) -> None:
    if app.output.debug:
        sys.stderr.write(trace(traceback.format_exc()) + "\n")


def _usage(error: click.UsageError) -> UsageError:
    path = error.ctx.command_path if error.ctx else "panachain"
    message = " ".join(error.format_message().split())
    for of_click, ours in _PLAINER:
        message = of_click.sub(ours, message)
    return UsageError(message, hint=f"{path} --help")


_PLAINER: Final = (
    (re.compile(r"is not a valid integer(?: range)?\."), "is no whole number"),
    (re.compile(r"is not in the range (-?\d+)<=x<=(-?\d+)\."), r"isn't from \1 to \2"),
    (re.compile(r"is not in the range x>=(-?\d+)\."), r"is less than \1"),
    (
        re.compile(r"(File|Path|Directory) (.+) does not exist\."),
        lambda found: f"there is no {found[1].lower()} {found[2]}",
    ),
)
"""What Click says about numbers and files, and how people say it."""


def _disk(error: OSError) -> DiskError:
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the disk is read-only",
        errno.EACCES: "permission is denied",
        errno.EPERM: "permission is denied",
        errno.EMFILE: "too many files are open",
    }
    reason = reasons.get(error.errno or 0, error.strerror or type(error).__name__)
    return DiskError(f"{reason}: {error.filename}" if error.filename else reason)
