"""What all commands share: options that stand anywhere, groups that load late, and the actor of a run.

Never loads the SDK before a command needs it: `--help` answers at once. Follows docs/spec/cli.md.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

import click

from panachain.cli import words
from panachain.cli.output import Output, launcher
from panachain.config import Config
from panachain.errors import (
    ConfigurationError,
    PanaChainError,
    PartlyDoneError,
    PolicyUnknownError,
    UnavailableError,
    UsageError,
)
from panachain.model.actors import Address, PolicyId, Role
from panachain.passphrase import Sources, read_passphrase
from panachain.plain import line

if TYPE_CHECKING:
    from panachain.crypto.wraps import DataKey
    from panachain.sdk import AnyActor, Hospital, Network, Patient, Practitioner, Researcher
    from panachain.sdk.profiles import Profile
    from panachain.sdk.results.policies import PolicyView
    from panachain.sdk.unlocking import Unlocking

UNTOUCHED: Final = "nothing was changed"
"""What a failure says when it is certain that no state changed."""

_GRANTEES: Final = (Role.PRACTITIONER, Role.GROUP, Role.RESEARCHER)

_WHOLE: Final = 1_000
"""Characters of a command's first sentence in a list of commands: none is cut, a long one takes two lines."""

_TOLD: Final = frozenset({"whoami", "records", "policies", "log", "requests"})
"""Commands of a patient that tell, too, whether guardians move them."""

Function = TypeVar("Function", bound=Callable[..., Any])

_Report = TypeVar("_Report")


@dataclass
class App:
    """One run of the command line."""

    flags: dict[str, str] = field(default_factory=dict)
    """Settings given as options."""
    output: Output = field(default_factory=Output)
    descriptor: int | None = None
    """What `--passphrase-fd` names."""
    command: str = "panachain"
    """The command that runs, for messages."""
    unchanged: str = UNTOUCHED
    """What a failure of the command leaves; docs/spec/cli.md lists them."""
    after: str = ""
    """What to do after a failure that brings no hint of its own."""
    _passphrases: dict[str, str] = field(default_factory=dict, repr=False)
    _early: Callable[[], None] | None = None
    _loads: Sequence[str] = ()

    @cached_property
    def config(self) -> Config:
        """The settings; read at the first use, so that `--help` works with a broken file."""
        return Config.load(self.flags)

    @property
    def home(self) -> Path:
        """The folder that holds all state."""
        return self.config.home

    def passphrase(self, what: str, *, confirm: bool = False, profile: Profile | None = None) -> str:
        """Return the passphrase of `what`; a file descriptor can be read only once, so it is kept.

        Args:
            what: what it opens.
            confirm: it is a new one: a prompt asks twice.
            profile: whose it is; the system's keychain may hold it, if the settings say so.
        """

        def settings() -> Sources:
            # Loaded where nothing else says whence it comes.
            from panachain.sdk.profiles import passphrase_sources

            return passphrase_sources(self.config, profile)

        from panachain.private_files import forbid_core_dumps

        # Before there is a secret: what a crash wrote would hold it.
        forbid_core_dumps()
        if what not in self._passphrases:
            self._passphrases[what] = read_passphrase(
                what, descriptor=self.descriptor, settings=settings, confirm=confirm
            )
        return self._passphrases[what]

    def profile(self, *roles: Role) -> Profile:
        """Return the profile that acts.

        Args:
            roles: those that the command is for; none means any.

        Raises:
            UsageError: no profile is chosen and there isn't exactly one that fits, or it has another role.
        """
        from panachain.sdk.profiles import choose_profile

        return choose_profile(self.home, self.config.profile, roles, purpose=self.command)

    @contextmanager
    def network(self) -> Iterator[Network]:
        """Open the network that the settings name."""
        from panachain.sdk.network import Network

        with Network.open(self.config, progress=self.output.reading_chain) as network:
            yield network

    @overload
    def acting(self, role: Literal[Role.PATIENT], /) -> AbstractContextManager[Patient]: ...
    @overload
    def acting(self, role: Literal[Role.HOSPITAL], /) -> AbstractContextManager[Hospital]: ...
    @overload
    def acting(self, role: Literal[Role.PRACTITIONER], /) -> AbstractContextManager[Practitioner]: ...
    @overload
    def acting(self, role: Literal[Role.RESEARCHER], /) -> AbstractContextManager[Researcher]: ...
    @overload
    def acting(
        self, one: Literal[Role.PATIENT, Role.HOSPITAL], other: Literal[Role.PATIENT, Role.HOSPITAL], /
    ) -> AbstractContextManager[Patient | Hospital]: ...
    @overload
    def acting(
        self, one: Literal[Role.PATIENT], other: Literal[Role.PRACTITIONER], /
    ) -> AbstractContextManager[Patient | Practitioner]: ...
    @overload
    def acting(
        self, one: Literal[Role.PRACTITIONER], other: Literal[Role.RESEARCHER], /
    ) -> AbstractContextManager[Practitioner | Researcher]: ...
    @overload
    def acting(
        self, one: Literal[Role.PATIENT], other: Literal[Role.PRACTITIONER], third: Literal[Role.RESEARCHER], /
    ) -> AbstractContextManager[Patient | Practitioner | Researcher]: ...
    @overload
    def acting(self, *roles: Role) -> AbstractContextManager[AnyActor]: ...

    @contextmanager
    def acting(self, *roles: Role) -> Iterator[Any]:
        """Open the network and the acting profile; the SDK's Patient, Hospital, … comes out.

        The passphrase is asked first: a locked profile never talks to a service.
        """
        from panachain.sdk.names import Names

        profile = self.profile(*roles)
        # Before anything is done: a damaged address book mustn't be noticed when a result is to be shown.
        names = Names(self.home)
        # Before there is a secret, and once it is sure who acts.
        if self._early is not None:
            self._early()
        secret = self._unlocking(profile)
        for module in self._loads:
            importlib.import_module(module)
        from panachain.sdk import open_actor

        with self.network() as network, open_actor(network, profile, secret) as actor:
            names.registry = network.resolver
            self.output.names = names
            try:
                # What takes a right away and isn't done yet comes first, whatever is asked for now.
                if profile.role is Role.PATIENT and self.command != "revoke":
                    self._go_on(profile, actor)
                if profile.role is Role.PATIENT and self.command in _TOLD:
                    self.tell_of_guardians(network, [profile.address])
                yield actor
            finally:
                names.registry = None

    @contextmanager
    def early(self, begin: Callable[[], None], *, loads: Sequence[str] = ()) -> Iterator[None]:
        """Have something begin that needs no key, as soon as `acting` knows who acts, before anything is unlocked.

        Args:
            begin: begins it.
            loads: modules that the command will need, which load while the key store is opened.
        """
        self._early, self._loads = begin, loads
        try:
            yield
        finally:
            self._early, self._loads = None, ()

    def _unlocking(self, profile: Profile) -> DataKey | Unlocking:
        """Return what opens a profile; a passphrase begins to, while the modules load that act."""
        secret = self.secret(profile)
        if not isinstance(secret, str):
            return secret
        from panachain.passphrase import Hidden
        from panachain.sdk.unlocking import Unlocking

        return Unlocking(profile, Hidden(secret))

    def secret(self, profile: Profile, *, agent: bool = True) -> str | DataKey:
        """Return what opens a profile: what its agent holds, what its security key opens, or else the passphrase.

        Args:
            profile: whose.
            agent: whether its agent is asked; not where somebody is to show anew that they may.
        """
        from panachain.private_files import forbid_core_dumps

        forbid_core_dumps()
        # A descriptor that was given counts. Who registers may need the registrar's profile, too, under one passphrase.
        if self.descriptor is None and self.command != "register":
            if agent and self.config.agent:
                from panachain.sdk.profiles import unlocked_by_agent

                if (key := unlocked_by_agent(self.home, profile)) is not None:
                    return key
            from panachain.sdk.locks import unlocked_by_security_key

            if (key := unlocked_by_security_key(self.config, profile)) is not None:
                return key
        return self.passphrase(f"profile {profile.name}", profile=profile)

    def tell_of_guardians(self, network: Network, patients: Iterable[Address]) -> None:
        """Warn of guardians who move patients of this machine; what can't be asked now stops nothing."""
        from panachain.sdk.guardians import told_of

        try:
            for one in told_of(network, patients):
                self.output.warn(words.moving(one))
        except PanaChainError as exc:
            self.output.warn(f"whether guardians move somebody to another account isn't known: {exc}")

    def _go_on(self, profile: Profile, actor: object) -> None:
        """Go on with a patient's grants and revocations that aren't done, and say so."""
        # Looked for by their names: most commands have nothing to go on with, and needn't load what would.
        if not profile.has_unfinished and not profile.has_revoked:
            return
        from panachain.sdk import submitting
        from panachain.sdk.patient import Patient

        if not isinstance(actor, Patient):
            return
        for left in submitting.fallen(actor):
            self.output.warn(left.reason)
        submitting.told(actor)
        if profile.has_unfinished and self.command != "settle":
            # Commands that grant finish themselves what they are about.
            grants = self.command in ("grant", "reissue", "approve")
            handed = submitting.sort_out(actor) if grants else submitting.hand_out(actor)
            for policy_id in handed:
                self.output.say(f"The proxies have the shares of policy {policy_id} now.")
            for left in handed.left_out:
                self.output.warn(left.reason)
            submitting.told(actor)
        if not profile.has_revoked:
            return
        try:
            unproven = submitting.go_on(actor)
        except ConfigurationError as exc:
            # What needs the list says so itself, and the rest needs no list.
            self.output.warn(f"{exc}; {exc.hint}")
            return
        for policy_id in unproven:
            self.output.warn(
                f"the revocation of policy {policy_id} was sent again, and isn't proven yet; panachain revoke"
                f" {policy_id} --status shows how far it is"
            )

    def policy(self, actor: Patient | Practitioner | Researcher, text: str) -> PolicyId:
        """Return the policy that a whole ID, the beginning of one, or the other side's name means.

        Raises:
            UsageError: several policies fit, or it is no ID and nobody's name.
            PolicyUnknownError: none fits.
        """
        from panachain.sdk.patient import Patient

        patient = isinstance(actor, Patient)
        try:
            return _own_policy(self.output, actor, text)
        except PolicyUnknownError as exc:
            # Only one of the two commands is for whoever acts.
            lists = "policies` lists what you granted" if patient else "inbox` lists what was granted to you"
            raise PolicyUnknownError(str(exc), hint=f"`panachain {lists}") from exc

    def own_policy(self, patient: Patient, text: str) -> PolicyId:
        """Return the policy of a patient's that is to be taken back, as `policy` does; also where no node answers.

        Raises:
            UsageError: several policies fit; or nobody can tell now whose policy a name means.
            PolicyUnknownError: none fits.
        """
        from panachain.sdk import submitting
        from panachain.sdk.names import policy_id

        try:
            return self.policy(patient, text)
        except UnavailableError as exc:
            if text.startswith("0x"):
                return policy_id(text, submitting.own_ids(patient))
            raise UsageError(
                f"whose policy {text!r} means can't be looked up now: {exc}", hint="name the policy by its ID"
            ) from exc

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if the user agrees.

        Raises:
            UsageError: there is no terminal to ask on, and `--yes` is missing.
        """
        self.check_can_confirm(yes=yes)
        if not yes:
            click.confirm(line(question), abort=True, err=True)

    def check_can_confirm(self, *, yes: bool) -> None:
        """Check that the user can be asked, before anything is done for the question.

        Raises:
            UsageError: there is no terminal to ask on, and `--yes` is missing.
        """
        import sys

        if not yes and not sys.stdin.isatty():
            raise UsageError("this needs a confirmation, and there is no terminal to ask on", hint="add --yes")


def _own_policy(output: Output, actor: Patient | Practitioner | Researcher, text: str) -> PolicyId:
    from panachain.sdk.access import unread
    from panachain.sdk.names import policy_id, policy_of
    from panachain.sdk.patient import Patient

    patient = isinstance(actor, Patient)

    def own() -> Iterator[PolicyView]:
        # Asked when the first is taken: a whole ID needs no list.
        yield from actor.policies() if isinstance(actor, Patient) else actor.inbox()

    if text.startswith("0x"):
        return policy_id(text, (view.policy_id for view in own()))
    other = actor.network.resolve(text, *_GRANTEES if patient else (Role.PATIENT,))
    policies = actor.policies() if isinstance(actor, Patient) else actor.inbox()
    found = [view for view in policies if other.address == (view.grantee if patient else view.patient)]
    if patient and (lost := unread(policies.left_out)):
        # Whoever means all that somebody has must hear of it, whatever is found.
        output.warn(
            f"{words.count(len(lost), 'policy')} in force can't be read, and may be to {text}, too:"
            f" {', '.join(one.item for one in lost)}"
        )
    return policy_of(text, found)


def current() -> App:
    """Return the run that the current command belongs to."""
    return click.get_current_context().ensure_object(App)


def _shared_options() -> list[click.Parameter]:
    """Return the options that every command takes, before or after its name."""

    def setting(name: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
        def store(context: click.Context, _: click.Parameter, value: str | None) -> None:
            if value is not None:
                app = context.ensure_object(App)
                app.flags[name] = value
                if name == "profile":
                    app.output.profile = value

        return store

    def switch(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
        def store(context: click.Context, _: click.Parameter, value: bool) -> None:
            if value:
                setattr(context.ensure_object(App).output, name, True)

        return store

    def descriptor(context: click.Context, _: click.Parameter, value: int | None) -> None:
        if value is not None:
            context.ensure_object(App).descriptor = value

    def no_agent(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            context.ensure_object(App).flags["agent"] = "no"

    common: dict[str, Any] = {"expose_value": False}
    return [
        click.Option(["--profile"], metavar="NAME", callback=setting("profile"), help="The actor's profile.", **common),
        click.Option(["--home"], metavar="DIR", callback=setting("home"), help="The folder of all state.", **common),
        click.Option(
            ["--passphrase-fd"],
            metavar="N",
            type=click.IntRange(0),
            callback=descriptor,
            help="Read the passphrase from this file descriptor.",
            **common,
        ),
        click.Option(
            ["--no-agent"],
            is_flag=True,
            callback=no_agent,
            help="Ask for the passphrase, also of a profile that is unlocked.",
            **common,
        ),
        click.Option(
            ["--json"], is_flag=True, callback=switch("as_json"), help="One JSON object, or JSON lines.", **common
        ),
        click.Option(
            ["--long"],
            is_flag=True,
            callback=switch("long"),
            help="Whole identifiers and times, all columns.",
            **common,
        ),
        click.Option(["-q", "--quiet"], is_flag=True, callback=switch("quiet"), help="No talk.", **common),
        click.Option(["-v", "--verbose"], is_flag=True, callback=switch("verbose"), help="More talk.", **common),
        click.Option(["--debug"], is_flag=True, callback=switch("debug"), help="Show tracebacks.", **common),
    ]


class Command(click.Command):
    """A command with the shared options, and with what its failure leaves."""

    def __init__(self, *args: Any, unchanged: str = UNTOUCHED, after: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unchanged = unchanged
        self.after = after
        self.params += _shared_options()

    def invoke(self, context: click.Context) -> Any:
        """Note the command's name and promises for messages, then run it."""
        app = context.ensure_object(App)
        app.command = context.command_path.removeprefix("panachain ")
        app.unchanged = self.unchanged
        app.after = self.after
        return super().invoke(context)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they stand, without wrapping."""
        _write_examples(self.epilog, formatter)

    def format_usage(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write how the command is called, by what the user calls it."""
        _write_usage(self, context, formatter)


class LazyGroup(click.Group):
    """A group that knows its commands' names and help, and imports a command's module only to run it."""

    def __init__(
        self,
        *args: Any,
        lazy: Mapping[str, tuple[str, str]] | None = None,
        sections: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})
        """Command name → (`module:attribute`, short help)."""
        self.sections = dict(sections or {})
        """Heading → the names of the commands below it; a command may stand below several."""
        self.params += _shared_options()

    def list_commands(self, context: click.Context) -> list[str]:
        """Return all names in the order of the table, which is the order of use."""
        return [*self.lazy, *super().list_commands(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return one command, loading its module if needed."""
        if name not in self.lazy:
            return super().get_command(context, name)
        module, _, attribute = self.lazy[name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.lazy[name][0]} is no command")
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that was typed; one that doesn't exist is answered with those that look like it."""
        try:
            return super().resolve_command(context, args)
        except click.UsageError as exc:
            # Imported here: only a mistyped command needs it.
            from difflib import get_close_matches

            if close := get_close_matches(args[0], self.list_commands(context)):
                exc.message = f"{exc.message} Did you mean {' or '.join(close)}?"
            raise

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the help of the table, so that no module is loaded."""
        rows = {name: help_text for name, (_, help_text) in self.lazy.items()}
        rows |= {name: command.get_short_help_str(_WHOLE) for name, command in self.commands.items()}
        # One indent for all sections, so that the page reads as one table.
        longest = max(map(len, rows), default=0)
        for heading, names in (self.sections or {"Commands": tuple(rows)}).items():
            if names:
                with formatter.section(heading):
                    formatter.write_dl([(f"{name:<{longest}}", rows[name]) for name in names])

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they stand, without wrapping."""
        _write_examples(self.epilog, formatter)

    def format_usage(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write how the command is called, by what the user calls it."""
        _write_usage(self, context, formatter)


def _write_examples(examples: str | None, formatter: click.HelpFormatter) -> None:
    if examples:
        with formatter.section("Examples"):
            for line in examples.strip().splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{_launched(line.strip())}\n")


def _write_usage(command: click.Command, context: click.Context, formatter: click.HelpFormatter) -> None:
    formatter.write_usage(_launched(context.command_path), " ".join(command.collect_usage_pieces(context)))


def _launched(line: str) -> str:
    """Return a command line as this user starts it: in a checkout `panachain` isn't on the path."""
    return re.sub(r"^panachain\b", lambda _: launcher(), line)


def command(
    name: str,
    *,
    examples: str,
    unchanged: str = UNTOUCHED,
    after: str = "",
) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function; its docstring is the help.

    Args:
        name: as it is typed.
        examples: lines that can be typed as they stand.
        unchanged: what a failure leaves as it was, whatever the failure.
        after: the next thing to do after a failure that brings no hint.
    """

    def wrap(function: Callable[..., Any]) -> Command:
        return click.command(name, cls=Command, epilog=examples, unchanged=unchanged, after=after)(function)

    return wrap


def as_far_as_done(kind: type[_Report], work: Callable[[], _Report]) -> tuple[_Report, PartlyDoneError | None]:
    """Run what may be done in part, and return what it reports, with the error that `end` raises if a part is missing.

    Args:
        kind: of the report; a part of anything else is an error at once.
        work: to be done.
    """
    try:
        return work(), None
    except PartlyDoneError as exc:
        if not isinstance(exc.result, kind):
            raise
        return exc.result, exc


def end(app: App, partly: PartlyDoneError | None) -> None:
    """Tell what was left out, if anything was, and end with that: after what was done has been shown.

    Raises:
        PartlyDoneError: something was.
    """
    if partly is not None:
        app.output.left_out(partly.omissions)
        raise partly
