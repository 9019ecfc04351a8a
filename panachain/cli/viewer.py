"""`viewer pack|check`: software that travels with records, made by a publisher, and looked at by anybody.

Never runs anything of it. Follows docs/spec/viewers.md and docs/spec/cli.md.
"""

from __future__ import annotations

from pathlib import Path

import click

from panachain.cli.app import LazyGroup, command, current
from panachain.cli.files import read_file
from panachain.model.actors import Role

FIELDS = ("name", "version", "about", "publisher", "standing", "reason", "wants", "contents", "size")
"""What people read of a bundle."""


@click.group(
    "viewer",
    cls=LazyGroup,
    epilog="""
        panachain --profile clinic viewer pack laboratory-list -o laboratory-list.viewer
        panachain viewer check laboratory-list.viewer
        panachain --profile clinic upload laboratory-list.viewer --patient me --category laboratory
    """,
)
def viewer() -> None:
    """Publish software that runs over records, and check who published it."""


@command("pack", examples="panachain --profile clinic viewer pack laboratory-list -o laboratory-list.viewer")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The new file.",
)
def pack(folder: Path, target: Path) -> None:
    """Make one signed file of FOLDER with its viewer.json; whoever runs it sees that you published it."""
    from panachain.cli.files import write_new
    from panachain.sdk.viewers import check_bundle

    app = current()
    with app.acting(Role.HOSPITAL, Role.RESEARCHER) as publisher:
        content = publisher.viewers.pack(folder)
        view = check_bundle(publisher.network, content)
        write_new(target, content)
        app.output.one(view, fields=FIELDS, also={"contents": _contents(view.to_json())})
        app.output.say(f"{target} is new; it is uploaded like any other file:")
        app.output.next(f"panachain upload {target} --patient NAME --category CATEGORY")


@command("check", examples="panachain viewer check laboratory-list.viewer")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def check(file: Path) -> None:
    """Say what is in the viewer bundle FILE, and whether its publisher published it.

    Exit code 6 if they didn't, 5 if they are suspended, 7 if nobody can tell now.
    """
    from panachain.records.viewer_bundle import MAX_SIZE
    from panachain.sdk.names import Names
    from panachain.sdk.viewers import check_bundle

    app = current()
    content = read_file(file, MAX_SIZE + 1)
    names = Names(app.home)
    with app.network() as network:
        names.registry = network.resolver
        app.output.names = names
        view = check_bundle(network, content)
        app.output.one(view, fields=FIELDS, also={"contents": _contents(view.to_json())})
    view.check()


def _contents(view: dict[str, object]) -> str:
    files = view["files"]
    return ", ".join(str(one["name"]) for one in files) if isinstance(files, list) else ""


for _command in (pack, check):
    viewer.add_command(_command)
