"""A small instance of benchmarks/linkability.py: the harness works, and nothing of ours links but what is known to.

The limits of security rule 9 are for 1,000 patients; with so few the houses alone tell a good deal.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="the dependency group bench isn't installed")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import linkability
from _linkability_attack import Field, Units, View, classify, rand_index
from _linkability_lookups import lookups
from _linkability_plan import DAY

pytestmark = pytest.mark.deep

PATIENTS, HOUSES = 60, 6
BATCH = "RecordsStored.manifest (what is in one batch)"
Scores = dict[tuple[str, int], float]


@pytest.fixture(scope="module")
def off() -> dict[str, Any]:
    return linkability.measure(PATIENTS, HOUSES, 1, 0, 0)


@pytest.fixture(scope="module")
def on() -> dict[str, Any]:
    return linkability.measure(PATIENTS, HOUSES, 1, 30 * DAY, 7 * DAY)


def of(run: dict[str, Any], kind: str) -> Scores:
    return {(name, view): score for name, view, score in run[kind]}


def test_everything_that_was_planned_is_on_chain(off: dict[str, Any]) -> None:
    assert off["units"]["records"] == 20 * PATIENTS
    assert off["units"]["policies"] > PATIENTS


def test_the_control_is_seen_through(off: dict[str, Any]) -> None:
    assert (
        min(score for (name, _), score in of(off, "control").items() if "hospital" not in name) >= linkability.CONTROL
    )


def test_no_two_objects_share_a_value(off: dict[str, Any], on: dict[str, Any]) -> None:
    assert off["shared windows"] == on["shared windows"] == 0


@pytest.mark.parametrize("kind", ["records", "policies"])
def test_no_field_links_but_sender_batch_and_time(off: dict[str, Any], kind: str) -> None:
    structural = ("hospital", "relay", linkability.CLASSIFIER)
    scores = {k: s for k, s in of(off, kind).items() if k[1] == View.CONTENT and not any(w in k[0] for w in structural)}
    assert scores
    assert max(scores.values()) <= 0.03, scores


def test_jitter_takes_batches_and_times_away(off: dict[str, Any], on: dict[str, Any]) -> None:
    for kind, name, view in (("records", BATCH, View.BATCH), ("policies", "quarter of an hour", View.TIME)):
        without, with_ = of(off, kind)[name, view], of(on, kind)[name, view]
        assert without > 0.1
        assert with_ < without / 4


def test_whoever_logs_every_lookup_and_sees_a_thousand_new_manifests_links_at_chance_level() -> None:
    assert max(map(abs, lookups())) <= 0.02


def test_with_keys_from_a_counter_every_row_would_be_known() -> None:
    assert lookups(manifests=200, control=True)[0] > 0.9


def test_the_index_is_one_for_the_truth_and_zero_for_chance() -> None:
    import numpy as np

    truth = np.repeat(np.arange(200), 20)
    assert rand_index(truth, truth[::-1].copy()) == pytest.approx(1)
    assert rand_index(truth, np.arange(len(truth))) == 0
    assert abs(rand_index(truth, np.random.default_rng(1).permutation(truth))) < 0.01


def test_the_classifier_finds_what_two_weak_fields_tell_together() -> None:
    import numpy as np

    truth = np.repeat(np.arange(100), 10)
    fields = [Field("tens", truth // 10), Field("ones", truth % 10)]
    assert rand_index(truth, fields[0].values) < 0.3
    units = Units(truth, fields, np.zeros_like(truth))
    assert classify(units.part(truth >= 50), units.part(truth < 50), View.CONTENT) > 0.9


def test_the_classifier_finds_nothing_where_nothing_is() -> None:
    import numpy as np

    truth, chance = np.repeat(np.arange(100), 10), np.random.default_rng(1)
    fields = [Field("noise", chance.integers(50, size=1000)), Field("size", chance.random(1000), label=False)]
    units = Units(truth, fields, np.zeros_like(truth))
    assert abs(classify(units.part(truth >= 50), units.part(truth < 50), View.CONTENT)) < 0.02
