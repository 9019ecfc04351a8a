"""Bulk exports and Bundles of many patients: each resource goes to the patient whom it is about, or to nobody."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from panachain.errors import InputError
from panachain.model.scope import RESTRICTED
from panachain.records import exports
from panachain.records.exports import LABEL, NOBODY, TWO, Export, FoundPatient
from panachain.records.persons import FIELDS
from panachain.records.sensitivity import matcher_of
from panachain.records.sources import Source, find_sources

KEY = b"k" * 32
BASES = ("https://a.test/fhir", "https://b.test/fhir/R4")


def patient(number: str, **more: Any) -> dict[str, Any]:
    made = {"resourceType": "Patient", "id": number, "identifier": [{"system": "urn:mrn", "value": f"mrn-{number}"}]}
    return {**made, "name": [{"family": f"Name{number}"}], "birthDate": "1970-01-01", **more}


def observation(number: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": number, "effectiveDateTime": "2024-05-05", **more}


def ndjson(path: Path, *resources: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in resources))
    return path


def bundle(path: Path, *entries: dict[str, Any], **more: Any) -> Path:
    made = {"resourceType": "Bundle", "type": "collection", **more, "entry": list(entries)}
    path.write_text(json.dumps(made, indent=1))
    return path


@contextmanager
def read(*paths: Path) -> Iterator[tuple[Export, list[FoundPatient]]]:
    with Export(KEY) as export:
        for scope, path in enumerate(paths):
            for source in find_sources([path]):
                assert export.add(source, scope)
        found = list(export.patients())
        assert all(one.prints is None or export.each_of(one.number) for one in found)
        yield export, found


def held(source: Source) -> list[dict[str, Any]]:
    """Return the resources of a source's records."""
    found = []
    for record in source.whole():
        assert isinstance(record.content, bytes)
        if record.media_type == "application/fhir+json":
            found += [one["resource"] for one in json.loads(record.content).get("entry", ())]
    return found


def part(export: Export, owner: int) -> Source | None:
    return export.part(owner, Path("part.ndjson"), None, matcher_of())


def shares(*paths: Path) -> tuple[dict[str, set[str]], list[tuple[str, str]]]:
    """Return what each patient gets, by the patient's place, and what is left out."""
    with read(*paths) as (export, found):
        export.settle({one.number: owner for owner, one in enumerate(found)})
        got: dict[str, set[str]] = {}
        for owner, one in enumerate(found):
            source = part(export, owner)
            if source is not None:
                got[f"{one.path.name}:{one.resource}"] = {
                    f"{each['resourceType']}/{each.get('id')}" for each in held(source)
                }
        return got, [(f"{one.path.name}:{one.resource}", one.why) for one in export.left_out()]


class World:
    """An export of random patients whose truth is known."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.patients = [f"p{number}" for number in range(chance.randint(2, 6))]
        self.form = chance.choice(("lines", "urn", "base", "local"))
        self.base = chance.choice(BASES)
        self.truth: dict[str, str | None] = {f"Patient/{one}": one for one in self.patients}
        """Of each resource the patient, or None where it must be left out."""
        self.resources = [patient(one) for one in self.patients]
        self.places = {f"Organization/o{number}" for number in range(2)}
        self.resources += [{"resourceType": "Organization", "id": one.partition("/")[2]} for one in self.places]
        for number in range(chance.randint(5, 25)):
            self._add(f"r{number}")
        chance.shuffle(self.resources)

    def reference(self, name: str) -> dict[str, Any]:
        """Return a reference in one of the forms that mean the same."""
        kind, _, number = name.partition("/")
        if kind == "Patient" and self.chance.random() < 0.3:
            identifier = {"system": "urn:mrn", "value": f"mrn-{number}"}
            if self.chance.random() < 0.5:
                return {"type": "Patient", "identifier": identifier}
            return {"reference": f"Patient?identifier=urn:mrn|mrn-{number}"}
        ends = self.chance.choice(("", "/_history/2"))
        if self.form == "urn":
            return {"reference": f"urn:uuid:{kind}-{number}"}
        if self.form == "base" and self.chance.random() < 0.5:
            return {"reference": f"{self.base}/{name}{ends}"}
        return {"reference": name + ends}

    def _add(self, number: str) -> None:
        chance = self.chance
        whose = chance.choice(self.patients)
        earlier = [name for name, who in self.truth.items() if who == whose and "Patient/" not in name]
        way = chance.random()
        made: dict[str, Any] = {"resourceType": chance.choice(("Observation", "Condition", "Claim")), "id": number}
        name = f"{made['resourceType']}/{number}"
        element = chance.choice(("subject", "patient", "beneficiary", "performer"))
        if chance.random() < 0.4:
            made["organization"] = self.reference(chance.choice(sorted(self.places)))
        truth: str | None = whose
        if way < 0.5 or not earlier:
            made[element] = self.reference(f"Patient/{whose}")
            if earlier and chance.random() < 0.5:
                made["hasMember"] = [self.reference(chance.choice(earlier))]
        elif way < 0.7:
            made["focus"] = [self.reference(one) for one in chance.sample(earlier, min(2, len(earlier)))]
        elif way < 0.8:
            other = chance.choice([one for one in self.patients if one != whose])
            made["subject"], made["patient"] = self.reference(f"Patient/{whose}"), self.reference(f"Patient/{other}")
            truth = None
        elif way < 0.9:
            others = [one for one, who in self.truth.items() if who not in (whose, None) and "Patient/" not in one]
            made["subject"] = self.reference(f"Patient/{whose}")
            if others:
                made["encounter"], truth = self.reference(chance.choice(others)), None
        else:
            made["note"], truth = [{"text": "nobody"}], None
        self.truth[name] = truth
        self.resources.append(made)

    def write(self, folder: Path) -> list[Path]:
        """Write it, and return the paths to name."""
        if self.form == "lines":
            files: dict[str, list[dict[str, Any]]] = {}
            for one in self.resources:
                files.setdefault(f"{one['resourceType']}.{self.chance.randint(0, 1)}.ndjson", []).append(one)
            for name, found in files.items():
                ndjson(folder / "export" / name, *found)
            if self.chance.random() < 0.3:
                for path in sorted((folder / "export").iterdir())[:2]:
                    (path.with_name(f"{path.name}.gz")).write_bytes(gzip.compress(path.read_bytes(), mtime=0))
                    path.unlink()
            return [folder / "export"]
        pages = 2 if self.form == "base" else 1
        paths = []
        for page in range(pages):
            entries = []
            for one in self.resources[page::pages]:
                name = f"{one['resourceType']}/{one['id']}"
                url = {"urn": f"urn:uuid:{name.replace('/', '-')}", "base": f"{self.base}/{name}"}.get(self.form)
                entries.append({**({"fullUrl": url} if url else {}), "resource": one})
            paths.append(bundle(folder / f"page-{page}.json", *entries))
        return paths


def check_world(seed: int, folder: Path) -> None:
    world = World(random.Random(seed))
    with read(*world.write(folder)) as (export, found):
        assert len(found) == len(world.patients)
        owners = {one.number: owner for owner, one in enumerate(found)}
        export.settle(owners)
        whose = {}
        for one in found:
            source = part(export, owners[one.number])
            assert source is not None
            got = held(source)
            (who,) = [each["id"] for each in got if each["resourceType"] == "Patient"]
            whose[who] = {f"{each['resourceType']}/{each['id']}" for each in got}
        assert sorted(whose) == world.patients
        for who, names in whose.items():
            mine = {name for name, truth in world.truth.items() if truth == who}
            assert names - world.places == mine, (seed, who)
            meant = {
                json.dumps(one)
                for one in world.resources
                if f"{one['resourceType']}/{one['id']}" in mine and "organization" in one
            }
            assert {place for place in world.places if any(place.partition("/")[2] in one for one in meant)} >= (
                names & world.places
            )
        out = [one.why for one in export.left_out()]
        assert len(out) == sum(truth is None for truth in world.truth.values())
        assert set(out) <= {TWO, NOBODY}


def test_each_resource_of_random_exports_goes_to_the_right_patient_or_to_nobody(tmp_path: Path) -> None:
    for seed in range(40):
        folder = tmp_path / str(seed)
        folder.mkdir()
        check_world(seed, folder)


@pytest.mark.deep
def test_many_more_random_exports(tmp_path: Path) -> None:
    for seed in range(1000, 1400):
        folder = tmp_path / str(seed)
        folder.mkdir()
        check_world(seed, folder)


def about(number: str, whom: str, **more: Any) -> dict[str, Any]:
    return observation(number, subject={"reference": f"Patient/{whom}"}, **more)


@pytest.mark.parametrize(
    "names",
    [
        {"patient": {"reference": "Patient/b"}},
        {"performer": [{"reference": "Patient/b"}]},
        {"performer": [{"reference": "Practitioner/x", "identifier": {"system": "urn:mrn", "value": "mrn-b"}}]},
        {"patient": {"identifier": {"system": "urn:mrn", "value": "mrn-b"}}},
        {"patient": {"identifier": {"system": "urn:mrn", "value": "unknown"}}},
        {"patient": {"reference": "https://other.test/Patient/a"}},
        {"patient": {"reference": "Patient?name=Aster"}},
        {"patient": {"reference": "urn:uuid:nobody"}},
        {"extension": [{"url": "urn:x", "valueReference": {"reference": "Patient/b/_history/3"}}]},
        {"contained": [{"resourceType": "Patient", "id": "c", "name": [{"family": "Namea"}]}]},
        {"encounter": {"reference": "Encounter/of-b"}},
        {"performer": [{"reference": "Patient/b#part"}]},
        {"performer": [{"reference": " https://other.test/patient/b/more"}]},
        {"performer": [{"reference": "urn:uuid:b", "type": "http://hl7.org/fhir/StructureDefinition/Patient"}]},
        {"contained": [{"resourceType": "Person", "id": "c", "link": [{"other": {"reference": "Patient/b"}}]}]},
        {"subject": {"reference": "Patient/a", "identifier": {"system": "urn:mrn", "value": "mrn-b"}}},
    ],
)
def test_a_resource_that_names_two_patients_is_left_out(names: dict[str, Any], tmp_path: Path) -> None:
    encounter = {"resourceType": "Encounter", "id": "of-b", "subject": {"reference": "Patient/b"}}
    ndjson(
        tmp_path / "all.ndjson", patient("a"), patient("b"), {**about("o", "a"), **names}, encounter, about("p", "a")
    )
    got, out = shares(tmp_path)
    assert out == [("all.ndjson:3", TWO)]
    assert got["all.ndjson:1"] == {"Patient/a", "Observation/p"}


@pytest.mark.parametrize(
    "one",
    [
        {"resourceType": "Group", "id": "g", "member": [{"entity": {"reference": f"Patient/{who}"}} for who in "ab"]},
        {
            "resourceType": "Coverage",
            "id": "c",
            "beneficiary": {"reference": "Patient/a"},
            "subscriber": {"reference": "Patient/b"},
        },
        {
            "resourceType": "Provenance",
            "id": "v",
            "target": [{"reference": "Observation/a1"}, {"reference": "Observation/b1"}],
        },
    ],
)
def test_what_is_about_a_mother_and_a_child_or_a_group_is_left_out(one: dict[str, Any], tmp_path: Path) -> None:
    ndjson(tmp_path / "all.ndjson", patient("a"), patient("b"), about("a1", "a"), about("b1", "b"), one)
    got, out = shares(tmp_path)
    assert out == [("all.ndjson:5", TWO)]
    assert got == {"all.ndjson:1": {"Patient/a", "Observation/a1"}, "all.ndjson:2": {"Patient/b", "Observation/b1"}}


def test_what_follows_from_a_mixed_resource_goes_to_nobody_either(tmp_path: Path) -> None:
    encounter = {"resourceType": "Encounter", "id": "of-b", "subject": {"reference": "Patient/b"}}
    mixed = {"resourceType": "DocumentReference", "id": "m", "subject": {"reference": "Patient/a"}}
    mixed["context"] = {"encounter": [{"reference": "Encounter/of-b"}]}
    mixed["content"] = [{"attachment": {"url": "Binary/f"}}]  # type: ignore[assignment]
    file = {"resourceType": "Binary", "id": "f", "contentType": "text/plain", "data": "aGk="}
    trace = {"resourceType": "Provenance", "id": "v", "target": [{"reference": "DocumentReference/m"}]}
    ndjson(tmp_path / "all.ndjson", patient("a"), patient("b"), encounter, mixed, file, trace)
    got, out = shares(tmp_path)
    assert got == {"all.ndjson:1": {"Patient/a"}, "all.ndjson:2": {"Patient/b", "Encounter/of-b"}}
    assert [place for place, _ in out] == ["all.ndjson:4", "all.ndjson:5", "all.ndjson:6"]


def test_patients_inside_of_other_resources_are_nobody_whom_one_can_tell(tmp_path: Path) -> None:
    inside = {"resourceType": "Parameters", "id": "p", "parameter": [{"resource": patient(who)} for who in "ab"]}
    with read(ndjson(tmp_path / "all.ndjson", patient("a"), inside)) as (_, found):
        assert [(one.resource, one.prints is None) for one in found] == [(1, False), (2, True)]


def test_one_id_in_two_systems_is_two_patients(tmp_path: Path) -> None:
    for place, base in enumerate(BASES):
        entries = [
            {"fullUrl": f"{base}/Patient/1", "resource": patient("1", birthDate=f"198{place}")},
            {"fullUrl": f"{base}/Observation/o{place}", "resource": about(f"o{place}", "1")},
            {
                "fullUrl": f"{base}/Observation/x{place}",
                "resource": observation(f"x{place}", subject={"reference": f"{BASES[1 - place]}/Patient/1"}),
            },
        ]
        bundle(tmp_path / f"{place}.json", *entries)
        bundle(tmp_path / f"plain-{place}.json", {"resource": patient("1")}, {"resource": about(f"l{place}", "1")})
    got, out = shares(tmp_path)
    assert out == []
    assert got["0.json:1"] == {"Patient/1", "Observation/o0", "Observation/x1"}
    assert got["1.json:1"] == {"Patient/1", "Observation/o1", "Observation/x0"}
    assert got["plain-0.json:1"] == {"Patient/1", "Observation/l0"}
    assert got["plain-1.json:1"] == {"Patient/1", "Observation/l1"}


def test_two_exports_named_by_two_paths_share_no_ids(tmp_path: Path) -> None:
    ndjson(tmp_path / "a" / "Patient.ndjson", patient("1"))
    ndjson(tmp_path / "b" / "Observation.ndjson", about("o", "1"))
    assert shares(tmp_path / "a", tmp_path / "b")[0]["Patient.ndjson:1"] == {"Patient/1"}
    assert shares(tmp_path)[0]["Patient.ndjson:1"] == {"Patient/1", "Observation/o"}


def test_a_patient_listed_twice_is_one_if_nothing_differs_and_else_nobody(tmp_path: Path) -> None:
    for name, second, differs in (
        ("same", {"gender": "male"}, None),
        ("name", {"name": [{"family": "Another"}]}, "Patient.name"),
        ("birth", {"birthDate": "1981-01-01"}, "Patient.birthDate"),
        ("two numbers", {"identifier": [{"system": "urn:mrn", "value": "9"}]}, None),
        ("all", {"identifier": [{"system": "urn:mrn", "value": "9"}], "birthDate": "1981"}, "Patient.identifier"),
    ):
        path = ndjson(tmp_path / f"{name}.ndjson", patient("1"), patient("1", **second), about("o", "1"))
        with read(path) as (_, (found,)):
            assert (None if found.differs is None else FIELDS["fhir"][found.differs]) == differs


def test_patients_that_are_linked_are_one(tmp_path: Path) -> None:
    link = [{"other": {"reference": "Patient/old"}, "type": "replaces"}]
    old = patient("old", name=[{"family": "Namenew"}])
    ndjson(tmp_path / "all.ndjson", patient("new", link=link), about("o", "old"), old, about("n", "new"))
    got, out = shares(tmp_path)
    assert out == []
    assert got == {"all.ndjson:1": {"Patient/new", "Patient/old", "Observation/o", "Observation/n"}}


@pytest.mark.parametrize("more", [{"birthDate": "1999-09-09"}, {"name": [{"family": "Another"}]}])
def test_a_link_to_somebody_else_joins_nobody(more: dict[str, Any], tmp_path: Path) -> None:
    link = [{"other": {"reference": "Patient/b"}, "type": "seealso"}]
    told = {"resourceType": "Basic", "id": "x", "link": [{"other": {"reference": "Patient/b"}}]}
    ndjson(tmp_path / "all.ndjson", patient("a", link=link), patient("b", **more), about("o", "a"), about("p", "b"))
    assert shares(tmp_path)[0] == {
        "all.ndjson:1": {"Patient/a", "Observation/o"},
        "all.ndjson:2": {"Patient/b", "Observation/p"},
    }
    same = patient("a", name=[{"family": "Nameb"}], contained=[told])
    ndjson(tmp_path / "all.ndjson", same, patient("b"))
    got, out = shares(tmp_path)
    assert (got, out) == ({"all.ndjson:2": {"Patient/b"}}, [("all.ndjson:1", TWO)])


def test_a_group_of_one_says_nothing_of_what_is_about_the_group(tmp_path: Path) -> None:
    group = {"resourceType": "Group", "id": "g", "member": [{"entity": {"reference": "Patient/a"}}]}
    ndjson(tmp_path / "all.ndjson", patient("a"), group, observation("o", subject={"reference": "Group/g"}))
    got, out = shares(tmp_path)
    assert got == {"all.ndjson:1": {"Patient/a", "Group/g"}}
    assert out == [("all.ndjson:3", NOBODY)]


def test_what_is_about_nobody_and_goes_along_with_nobody_is_counted(tmp_path: Path) -> None:
    places = [{"resourceType": "Organization", "id": str(number)} for number in range(4)]
    used = about("o", "a", performer=[{"reference": "Organization/0"}])
    ndjson(
        tmp_path / "a.ndjson", patient("a"), used, patient("b", managingOrganization={"reference": "Organization/1"})
    )
    ndjson(tmp_path / "places.ndjson", *places)
    with read(tmp_path) as (export, found):
        export.settle({found[0].number: 0})
        assert [(path.name, count) for path, count in export.unused()] == [("places.ndjson", 3)]


def test_what_names_nobody_is_left_out_and_what_is_about_nobody_goes_along(tmp_path: Path) -> None:
    ndjson(
        tmp_path / "all.ndjson",
        patient("a", managingOrganization={"reference": "Organization/clinic"}),
        patient("b"),
        {"resourceType": "Organization", "id": "clinic", "partOf": {"reference": "Organization/trust"}},
        {"resourceType": "Organization", "id": "trust"},
        {"resourceType": "Organization", "id": "elsewhere"},
        observation("display", subject={"display": "Namea"}),
        observation("none"),
        {"resourceType": "Binary", "id": "file", "contentType": "text/plain", "data": "aGk="},
        {"resourceType": "Binary", "id": "shared", "contentType": "text/plain", "data": "aGE="},
        *(
            {
                "resourceType": "DocumentReference",
                "id": f"d{who}",
                "subject": {"reference": f"Patient/{who}"},
                "content": [{"attachment": {"url": f"Binary/{name}"}} for name in names],
            }
            for who, names in (("a", ("file", "shared")), ("b", ("shared",)))
        ),
    )
    got, out = shares(tmp_path)
    assert out == [("all.ndjson:6", NOBODY), ("all.ndjson:7", NOBODY), ("all.ndjson:9", TWO)]
    assert got["all.ndjson:1"] == {
        *("Patient/a", "Organization/clinic", "Organization/trust", "DocumentReference/da", "Binary/file"),
    }
    assert got["all.ndjson:2"] == {"Patient/b", "DocumentReference/db"}


def test_a_patient_who_is_only_referred_to_is_nobody_until_a_table_names_them(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "all.ndjson", about("o", "x"), about("p", "x"), patient("a"))
    with read(path) as (export, found):
        unknown = next(one for one in found if one.prints is None)
        assert export.named("Patient/x", 1) == [unknown.number]
        assert export.named("urn:mrn|mrn-a", 1) == export.named("Patient/a", 1) == [found[0].number]
        assert export.named("Patient/nobody", 1) == []
        export.settle({unknown.number: 0})
        source = part(export, 0)
        assert source is not None
        assert {one["id"] for one in held(source)} == {"o", "p"}
        assert part(export, 1) is None


HIV = {"coding": [{"system": "http://snomed.info/sct", "code": "86406008", "display": "HIV infection"}]}


def test_what_is_sensitive_closes_what_refers_to_it_across_the_files_of_an_export(tmp_path: Path) -> None:
    condition = {"resourceType": "Condition", "id": "c", "code": HIV, "subject": {"reference": "Patient/a"}}
    order = {"resourceType": "ServiceRequest", "id": "s", "subject": {"reference": "Patient/a"}}
    order["reasonReference"] = [{"reference": "Condition/c"}]  # type: ignore[assignment]
    ndjson(tmp_path / "Patient.ndjson", patient("a"))
    ndjson(tmp_path / "Condition.ndjson", condition)
    ndjson(tmp_path / "ServiceRequest.ndjson", order, {**order, "id": "open", "reasonReference": []})
    with read(tmp_path) as (export, found):
        export.settle({found[0].number: 0})
        source = part(export, 0)
        assert source is not None
        closed = {one.resource.partition("/")[2] for one in source.classified() if one.category in RESTRICTED}
        assert closed == {"c", "s"}
        open_ = [record for record in source.whole() if record.category not in RESTRICTED]
        assert all(b'"id": "s"' not in record.content for record in open_)  # type: ignore[operator]


def test_a_bundles_label_closes_each_patients_entries(tmp_path: Path) -> None:
    label = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}]}
    entries = [{"resource": one} for one in (patient("a"), patient("b"), about("o", "a"), about("p", "b"))]
    bundle(tmp_path / "labelled.json", *entries, meta=label)
    with read(tmp_path) as (export, found):
        export.settle({one.number: owner for owner, one in enumerate(found)})
        for owner in range(2):
            source = part(export, owner)
            assert source is not None
            assert len(held(source)) == 2
            assert all(record.category in RESTRICTED for record in source.whole())


def test_a_bundles_label_goes_along_whatever_it_closes(tmp_path: Path) -> None:
    """What a label closes is the patient's to choose: it isn't judged where the Bundle is cut."""
    label = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "NOTHINGTHATCLOSES"}]}
    bundle(tmp_path / "in.json", {"resource": patient("a")}, {"resource": patient("b")}, meta=label, id="whole")
    with read(tmp_path) as (export, found):
        export.settle({found[0].number: 0})
        source = part(export, 0)
        assert source is not None
        told = b"".join(record.content for record in source.whole() if isinstance(record.content, bytes))
        assert b"NOTHINGTHATCLOSES" in told
        assert b"whole" not in told


def test_a_bundle_that_says_something_sensitive_of_itself_without_a_label_is_left_out(tmp_path: Path) -> None:
    entries = [{"resource": patient("a")}, {"resource": about("o", "a")}]
    bundle(tmp_path / "told.json", *entries, extension=[{"url": "urn:x", "valueCodeableConcept": HIV}])
    got, out = shares(tmp_path)
    assert (got, {why for _, why in out}) == ({}, {LABEL})
    told = base64.b64encode(b"HIV infection since 2019").decode()
    held = {"contentType": "text/plain", "data": told}
    bundle(tmp_path / "told.json", *entries, extension=[{"url": "urn:x", "valueAttachment": held}])
    assert {why for _, why in shares(tmp_path)[1]} == {LABEL}


def test_bundles_in_bundles_and_in_lines_are_unwrapped(tmp_path: Path) -> None:
    inner = {"resourceType": "Bundle", "entry": [{"resource": patient("a")}, {"resource": about("o", "a")}]}
    other = {"entry": [{"resource": patient("a", birthDate="1999")}], "resourceType": "Bundle", "type": "searchset"}
    bundle(tmp_path / "in.json", {"resource": inner}, {"resource": other})
    ndjson(
        tmp_path / "lines.ndjson", {"resourceType": "Bundle", "entry": [{"resource": patient("b")}]}, about("x", "b")
    )
    got, out = shares(tmp_path)
    assert out == []
    assert got["in.json:1"] == {"Patient/a", "Observation/o"}
    assert got["in.json:2"] == {"Patient/a"}
    assert got["lines.ndjson:1"] == {"Patient/b"}


def test_the_same_resources_are_the_same_source_in_whatever_order(tmp_path: Path) -> None:
    lines = [patient("a"), about("o", "a"), about("p", "a"), about("q", "a")]
    found = set()
    for number, order in enumerate((lines, lines[::-1], [*lines[2:], *lines[:2], lines[0]])):
        path = ndjson(tmp_path / f"{number}.ndjson", *order)
        with read(path) as (export, (one,)):
            export.settle({one.number: 0})
            source = part(export, 0)
            assert source is not None
            found.add((source.identity, tuple(record.content for record in source.whole())))  # type: ignore[misc]
    assert len(found) == 1


def test_a_broken_file_is_left_out_whole_and_leaves_no_trace(tmp_path: Path) -> None:
    good = ndjson(tmp_path / "Patient.ndjson", patient("a"))
    broken = ndjson(tmp_path / "Observation.ndjson", about("o", "a"))
    broken.write_text(broken.read_text() + '{"resourceType":')
    with Export(KEY) as export:
        for path in (broken, good):
            (source,) = find_sources([path])
            if path == good:
                assert export.add(source, 0)
                continue
            with pytest.raises(InputError, match="line 2"):
                export.add(source, 0)
        (one,) = export.patients()
        export.settle({one.number: 0})
        part_of = part(export, 0)
        assert part_of is not None
        assert [each["id"] for each in held(part_of)] == ["a"]
        assert list(export.left_out()) == []


def test_a_file_that_changes_meanwhile_is_never_read_as_another(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "all.ndjson", patient("a"), about("o", "a"))
    with read(path) as (export, (one,)):
        export.settle({one.number: 0})
        path.write_text(path.read_text().replace("Namea", "Nameb"))
        with pytest.raises(InputError, match="changed"):
            part(export, 0)


def test_a_file_that_changed_without_a_trace_is_never_read_as_another(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "all.ndjson", patient("a"), about("o", "a"))
    with read(path) as (export, (one,)):
        export.settle({one.number: 0})
        times = path.stat()
        with path.open("r+b") as file:
            file.write(path.read_bytes().replace(b"Namea", b"Nameb"))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        with pytest.raises(InputError, match="changed"):
            part(export, 0)


def test_a_bundle_in_a_labelled_one_is_left_out(tmp_path: Path) -> None:
    label = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]}
    inner = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": patient("a")}]}
    bundle(tmp_path / "in.json", {"resource": inner}, {"resource": patient("b")}, meta=label)
    got, out = shares(tmp_path)
    assert (got, out) == ({"in.json:2": {"Patient/b"}}, [("in.json:1", LABEL)])


def test_a_part_that_isnt_held_is_read_from_its_files_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = [about(f"o{number}", "a", note=[{"text": "x" * 1000}]) for number in range(50)]
    bundle(tmp_path / "all.json", *({"resource": one} for one in (patient("a"), *more)))
    monkeypatch.setattr(exports, "_HELD", 10_000)
    with read(tmp_path) as (export, (one,)):
        export.settle({one.number: 0})
        source = part(export, 0)
        assert source is not None
        assert len(held(source)) == len(held(source)) == 51
        assert len(source.persons()) == 1


def test_references_are_followed_as_far_as_the_bound_and_what_is_beyond_goes_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = [observation(f"o{number}", focus=[{"reference": f"Observation/o{number + 1}"}]) for number in range(9)]
    ndjson(tmp_path / "all.ndjson", patient("a"), about("o9", "a"), *chain)
    assert len(shares(tmp_path)[0]["all.ndjson:1"]) == 11
    monkeypatch.setattr(exports, "_ROUNDS", 5)
    got, out = shares(tmp_path)
    assert got["all.ndjson:1"] == {"Patient/a", "Observation/o9"}
    assert len(out) == 9


def test_what_is_no_fhir_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(b"%PDF-1.7\n")
    with Export(KEY) as export:
        (source,) = find_sources([tmp_path])
        assert not export.add(source, 0)


def test_nothing_readable_lies_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than what waits in memory for a file, which is 128 KiB since Python 3.14.
    path = tmp_path / "spool"
    monkeypatch.setattr(exports.tempfile, "TemporaryFile", lambda: path.open("w+b"))
    source = bundle(tmp_path / "in.json", {"resource": patient("a", name=[{"family": "Telling" * 90_000}])})
    with read(source):
        assert path.stat().st_size > 100
        assert b"Telling" not in path.read_bytes()
