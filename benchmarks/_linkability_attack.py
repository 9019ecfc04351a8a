"""The attacker: groups what they see by every field, and trains a classifier on pairs of known patients.

Scores are adjusted Rand indexes (Hubert and Arabie 1985): 1 for the true grouping by patient, 0 for chance.
The attacker never sees a key. What they are given beyond an outsider's view is said in docs/security/leakage.md.

The classifier tells how likely two units are of one patient; average linkage makes groups of it; and the cut is where,
by these probabilities, the index is expected to be highest. It looks at pairs within one block of units (one hospital),
since nothing that is visible says anything across.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

Array = np.ndarray[Any, Any]

_STRANGERS = 300_000
"""Pairs of different patients that the classifier learns from."""
_CHUNK = 1_000_000
"""Pairs that are looked at together."""


class View(IntEnum):
    """What an attacker looks at; each one sees what those before it see."""

    CONTENT = 0
    """Bytes, sizes, links, senders."""
    BATCH = 1
    """And what was published together."""
    TIME = 2
    """And when, and in which order."""


@dataclass(frozen=True)
class Field:
    """One visible property of every unit."""

    name: str
    values: Array
    """Numbers; of a label, equal numbers mean equal values."""
    view: View = View.CONTENT
    label: bool = True
    """Whether it can be equal or not; else it can be near or far."""


@dataclass(frozen=True)
class Units:
    """Records, policies or both: what is to be grouped by patient."""

    truth: Array
    fields: list[Field]
    block: Array
    """Which block each unit belongs to."""

    def seen(self, view: View) -> list[Field]:
        """Return the fields that a view has."""
        return [field for field in self.fields if field.view <= view]

    def part(self, chosen: Array) -> Units:
        """Return some of the units."""
        fields = [Field(f.name, f.values[chosen], f.view, f.label) for f in self.fields]
        return Units(self.truth[chosen], fields, self.block[chosen])


def labels(values: Sequence[Any]) -> Array:
    """Return a number for each value; equal values get equal numbers."""
    known: dict[Any, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int64)


def combine(*parts: Array) -> Array:
    """Return a label for each combination of labels."""
    return labels(list(zip(*(part.tolist() for part in parts), strict=True)))


def rand_index(truth: Array, found: Array) -> float:
    """Return the adjusted Rand index of a grouping."""
    _, left = np.unique(truth, return_inverse=True)
    _, right = np.unique(found, return_inverse=True)
    _, cells = np.unique(left.astype(np.int64) * (int(right.max()) + 1) + right, return_counts=True)
    both, rows, columns = _pairs(cells), _pairs(np.bincount(left)), _pairs(np.bincount(right))
    expected = rows * columns / (len(truth) * (len(truth) - 1) / 2)
    most = (rows + columns) / 2
    return float((both - expected) / (most - expected)) if most != expected else 0.0


def _pairs(counts: Array) -> float:
    return float((counts.astype(np.float64) * (counts - 1) / 2).sum())


def groupings(units: Units) -> Iterator[tuple[str, View, float]]:
    """Yield name, view and score of the grouping by each field that can be equal."""
    for field in units.fields:
        if field.label:
            yield field.name, field.view, rand_index(units.truth, field.values)


def classify(known: Units, targets: Units, view: View, *, only: str = "") -> float:
    """Return the score of the grouping by a classifier.

    Args:
        known: units of patients whom the attacker knows and learns from.
        targets: units of other patients, whom the attacker wants to group.
        view: what the attacker sees.
        only: begins the names of the fields that the attacker uses; empty for all.
    """
    # Each run has a core of its own; threads that wait for each other only spin.
    with threadpool_limits(1):
        chosen = [field for field in targets.seen(view) if field.name.startswith(only)]
        names = {field.name for field in chosen}
        model = _train(known, names, ratio=len(targets.truth) / len(known.truth))
        blocks = [np.flatnonzero(targets.block == block) for block in np.unique(targets.block)]
        trees = [(units, _tree(targets, units, names, model)) for units in blocks if len(units) > 1]
        cut = _best_cut(known, targets, [tree for _, tree in trees])
        found = -1 - np.arange(len(targets.truth))
        for number, (units, tree) in enumerate(trees):
            found[units] = fcluster(tree, cut, "distance") + number * len(found)
        return rand_index(targets.truth, found)


def _train(known: Units, names: set[str], *, ratio: float) -> HistGradientBoostingClassifier:
    """Return a model of how likely a pair is of one patient, among `ratio` times as many strangers."""
    left, right = _block_pairs(known.block)
    same = known.truth[left] == known.truth[right]
    strangers = np.flatnonzero(~same)
    kept = np.random.default_rng(1).permutation(strangers)[:_STRANGERS]
    rows = np.concatenate([np.flatnonzero(same), kept])
    weights = np.where(same[rows], 1.0, ratio * len(strangers) / max(len(kept), 1))
    model = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=16, min_samples_leaf=60, random_state=1)
    return model.fit(_features(known, names, left[rows], right[rows]), same[rows], sample_weight=weights)


def _block_pairs(block: Array) -> tuple[Array, Array]:
    """Return all pairs of units that are in one block."""
    lefts, rights = [], []
    for value in np.unique(block):
        units = np.flatnonzero(block == value)
        left, right = np.triu_indices(len(units), 1)
        lefts.append(units[left])
        rights.append(units[right])
    return np.concatenate(lefts), np.concatenate(rights)


def _features(units: Units, names: set[str], left: Array, right: Array) -> Array:
    columns: list[Array] = []
    for field in units.fields:
        if field.name not in names:
            continue
        if field.label:
            _, inverse, sizes = np.unique(field.values, return_inverse=True, return_counts=True)
            share = np.log(sizes / len(field.values))[inverse]
            # How rare a value is tells how much it means that two share it.
            columns.append(np.where(inverse[left] == inverse[right], share[left], 1.0))
            continue
        first, second = field.values[left].astype(np.float64), field.values[right].astype(np.float64)
        if field.view is View.TIME:
            columns.append(np.log1p(np.abs(first - second)))
        else:
            near = np.abs(np.log1p(first) - np.log1p(second))
            columns += [near, np.minimum(first, second), np.maximum(first, second)]
    return np.stack(columns, axis=1).astype(np.float32)


def _tree(targets: Units, units: Array, names: set[str], model: HistGradientBoostingClassifier) -> Array:
    """Return the average-linkage tree of one block: the distance of two groups is 1 less the mean probability."""
    left, right = np.triu_indices(len(units), 1)
    likely = np.empty(len(left))
    for start in range(0, len(left), _CHUNK):
        part = slice(start, start + _CHUNK)
        likely[part] = model.predict_proba(_features(targets, names, units[left[part]], units[right[part]]))[:, 1]
    return np.asarray(linkage(1.0 - likely, "average"))


def _best_cut(known: Units, targets: Units, trees: Sequence[Array]) -> float:
    """Return the height at which the index is expected to be highest, by the probabilities alone."""
    heights, joined = [], []
    for tree in trees:
        sizes = np.concatenate([np.ones(len(tree) + 1), tree[:, 3]])
        heights.append(tree[:, 2])
        joined.append(sizes[tree[:, 0].astype(np.int64)] * sizes[tree[:, 1].astype(np.int64)])
    height, pairs = np.concatenate(heights), np.concatenate(joined)
    order = np.argsort(height, kind="stable")
    # Each merge of two groups joins so many pairs, of which this share is expected to be of one patient.
    hits, claimed = np.cumsum((pairs * (1 - height))[order]), np.cumsum(pairs[order])
    count = len(targets.truth)
    true = _pairs(np.unique(known.truth, return_counts=True)[1]) * count / len(known.truth)
    chance = claimed * true / (count * (count - 1) / 2)
    expected = (hits - chance) / ((claimed + true) / 2 - chance)
    best = int(np.argmax(expected))
    return float(height[order][best]) + 1e-12 if expected[best] > 0 else -1.0
