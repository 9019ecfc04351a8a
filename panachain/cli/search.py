"""The command `search`: which records have a word, at all hospitals, without opening any.

Never prints what a record says but for numbers that were asked for. Follows docs/spec/cli.md and docs/spec/search.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from panachain.cli import words as say
from panachain.cli.app import App, command, current
from panachain.cli.values import Categories, Moment, flat
from panachain.errors import PartlyDoneError, UsageError
from panachain.model.actors import Role

if TYPE_CHECKING:
    from panachain.sdk.opening import Opening
    from panachain.sdk.patient import Patient
    from panachain.sdk.practitioner import Practitioner
    from panachain.sdk.results.searches import SearchResult

_NOTHING = "No record has that."


@command(
    "search",
    unchanged="nothing was opened",
    examples="""
        panachain --profile me search metformin
        panachain --profile me search '"chest pain"' 'glucose>126'
        panachain --profile doctor search me 'gluc*' --category laboratory
    """,
)
@click.argument("words", nargs=-1, required=True, metavar="[POLICY] WORD...")
@click.option("--category", "categories", multiple=True, type=Categories(), help="Only records of these; repeatable.")
@click.option("--since", type=Moment(past=True), help="Only records stored at or after this: a date, or 7d for a week.")
@click.option("--until", type=Moment(past=True), help="Only records stored before this.")
@click.option(
    "--limit", type=click.IntRange(1), metavar="NUMBER", help="Name so many records at most; 1,000 if left out."
)
@click.option(
    "--language",
    "languages",
    multiple=True,
    metavar="TAG",
    help="Count plurals of this language at all hospitals, such as de; repeatable.",
)
def search(
    words: tuple[str, ...],
    categories: tuple[tuple[str, ...], ...],
    since: int | None,
    until: int | None,
    limit: int | None,
    languages: tuple[str, ...],
) -> None:
    """Find your own records that have some words, or those of POLICY that was granted to you.

    All words must be in one entry of a record. A phrase stands in quotation marks, gluc* is a beginning, glucose>126 a
    number, and loinc|2345-7 a code. Case, accents and plurals make no difference: English ones, and those
    of the languages in which a hospital's records say or show that they are written.

    The answer is complete: what each hospital published is compared with the chain. What a hospital did wrong costs its
    own records only: each is named, and the exit code is 3. A patient's log tells of searches by others.
    """
    app = current()
    chosen = flat(categories)
    with app.acting(Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER) as actor:
        if actor.role is Role.PATIENT:
            opening: Opening = cast("Patient", actor).records()
        else:
            if len(words) < 2:
                raise UsageError("search needs a policy and a word", hint="panachain inbox lists the policies")
            reader = cast("Practitioner", actor)
            opening = reader.open(app.policy(reader, words[0]), categories=chosen)
            words = words[1:]
        found = opening.search(words, categories=chosen, since=since, until=until, limit=limit, languages=languages)
    show(app, found)


def show(app: App, found: SearchResult) -> None:
    """Print what a search found and what was checked, and end with 3 if anything was left out.

    Raises:
        PartlyDoneError: something couldn't be searched.
    """
    if app.output.as_json:
        app.output.many([*found.records, *found.proofs], empty=_NOTHING)
    else:
        app.output.many(
            [_shown(one.to_json()) for one in found.records],
            empty=_NOTHING,
            columns=("hospital", "category", "year", "entries", "values", "stored_at"),
            more=("record_id", "media_type", "size"),
        )
    if found.total > len(found.records):
        app.output.say(
            f"{say.count(found.total, 'record')} found; --limit names more than {len(found.records):,} of them."
        )
    lacking = {omission.hospital for omission in found.omissions}
    for proof in found.proofs:
        hospital = app.output.who(proof.hospital, Role.HOSPITAL)
        whole = "not all" if proof.hospital in lacking else "all"
        holds = "holds" if proof.transactions == 1 else "hold"
        held = f"{whole} that its {say.count(proof.transactions, 'storage transaction')} {holds} for you"
        app.output.say(f"Looked through {say.count(proof.records, 'record')} of {hospital}: {held}.")
    if found.mute:
        why = "nothing written, too long, or by an older program"
        app.output.say(f"{say.count(found.mute, 'record')} had no words to look through: {why}.")
    app.output.left_out(found.omissions, found.notices)
    if found.omissions:
        app.unchanged = "what could be searched is shown"
        raise PartlyDoneError.of(found.omissions, done=f"{say.count(len(found.records), 'record')} found")


def _shown(record: dict[str, object]) -> dict[str, object]:
    values = record["values"]
    return {
        **record,
        "year": record["year"] or "undated",
        "values": ", ".join(values) if isinstance(values, list) else "",
    }
