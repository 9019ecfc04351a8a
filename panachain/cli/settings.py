"""`config show` and `completion`.

Never shows a secret: settings hold none. Follows docs/spec/cli.md.
"""

from __future__ import annotations

import click

from panachain.cli.app import LazyGroup, command, current
from panachain.cli.output import put


@click.group("config", cls=LazyGroup, epilog="panachain config show --origin")
def config() -> None:
    """Show the settings and where they come from."""


@command("show", examples="panachain config show --origin")
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
def show(origin: bool) -> None:
    """Show each setting; options come first, then the environment, then panachain.toml, then the default."""
    app = current()
    fields = app.config.to_json()
    if not app.output.as_json:
        rows = [
            {"setting": name, "value": part["value"]} | ({"origin": part["origin"]} if origin else {})
            for name, part in fields.items()
            if isinstance(part, dict)
        ]
        app.output.many(rows, empty="")
        return
    app.output.one(
        {name: part if origin or not isinstance(part, dict) else part["value"] for name, part in fields.items()}
    )


config.add_command(show)


@command(
    "completion",
    examples="""
        eval "$(panachain completion bash)"
        panachain completion fish > ~/.config/fish/completions/panachain.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL."""
    from click.shell_completion import get_completion_class

    context = click.get_current_context()
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"there is no completion for {shell}")
    root = context.find_root().command
    script = made(root, {}, "panachain", "_PANACHAIN_COMPLETE").source()
    app = current()
    if app.output.as_json:
        app.output.one({"schema": "panachain/completion/1", "shell": shell, "script": script})
    else:
        put(f"{script}\n")
