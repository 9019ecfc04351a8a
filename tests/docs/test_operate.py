"""The operators' guides: each holds what an operator looks for, and the alert rules name what services export."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from panachain.service import problems
from panachain.service.proxy.metrics import Metrics
from tests.docs.blocks import ROOT
from tests.unit.service.relay.test_app import body, served

FOLDER = ROOT / "docs" / "operate"
GUIDES = ("consortium", "hospital", "proxy", "patient")
SECTIONS = (
    *("## Machine", "## Ports", "## Set up", "## Back up and restore", "## Upgrade", "## What to watch"),
    "## When something happens",
)
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def exported(text: str) -> set[str]:
    """Return the names of all series that a service's metrics have, by their types."""
    found = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    return {name + suffix for name, kind in found for suffix in SUFFIXES[kind]}


def asked(expression: str) -> set[str]:
    return set(re.findall(r"\bpanachain_\w+", expression))


@pytest.fixture
def services(tmp_path: Path) -> set[str]:
    """What a proxy and a relay export."""
    with served(tmp_path) as client:
        client.post("/v1/grant", json=body())
        relay = client.get("/metrics").text
    return exported(Metrics().text(3, 5).decode()) | exported(relay)


def test_every_series_of_the_rules_is_exported(services: set[str]) -> None:
    assert {name for rule in RULES for name in asked(rule["expr"])} - services == set()


def test_everything_that_is_exported_is_watched(services: set[str]) -> None:
    watched = {name for rule in RULES for name in asked(rule["expr"])}
    # Of a histogram the buckets are enough; when a counter began is nobody's alarm.
    assert {name for name in services if not name.endswith(("_sum", "_count", "_created"))} - watched == set()


def test_a_proxy_that_sees_no_chain_is_missed_by_itself() -> None:
    """`absent()` of a whole job is silent while another proxy of the same operator sees one."""
    assert "panachain_proxy_head_age_seconds" not in exported(Metrics().text(3, None).decode())
    (rule,) = (rule for rule in RULES if rule["alert"] == "ProxySeesNoChain")
    assert "unless on(job, instance) panachain_proxy_head_age_seconds" in rule["expr"]
    assert "absent" not in rule["expr"]


def test_outcomes_of_the_rules_are_slugs() -> None:
    slugs = {kind.slug for kind in problems.KINDS} | {"ok"}
    named = [found for rule in RULES for found in re.findall(r'outcome=~?"([^"]+)"', rule["expr"])]
    assert named
    assert {one for text in named for one in text.split("|")} <= slugs


def test_each_rule_says_what_is_wrong_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) > 8
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["annotations"]["action"], rule["alert"]
        brackets: dict[str, Any] = {one: rule["expr"].count(one) for one in "(){}[]"}
        assert (brackets["("], brackets["{"], brackets["["]) == (brackets[")"], brackets["}"], brackets["]"])


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_has_all_that_an_operator_looks_for(name: str) -> None:
    headings = re.findall(r"^## .*$", (FOLDER / f"{name}.md").read_text(), re.MULTILINE)
    assert [one for one in headings if one in SECTIONS] == list(SECTIONS)


@pytest.mark.parametrize("name", [*GUIDES, "README"])
def test_no_guide_installs_from_an_index_a_name_that_is_not_ours(name: str) -> None:
    assert re.findall(r"pip install[^\n]*[ '\"]panachain\b", (FOLDER / f"{name}.md").read_text()) == []


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_says_where_the_network_is_read_from_before_it_is_used(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text()
    told = text.index("PANACHAIN_NETWORK_FILE")
    first = re.search(
        r"^panachain (?:network check$|gate init|relay init|proxy init|--profile \w+ register)", text, re.MULTILINE
    )
    assert first
    assert told < first.start()
    assert "README.md#install" in text[:told]


@pytest.mark.parametrize("name", [one for one in GUIDES if one != "patient"])
def test_a_guide_names_the_alerts_of_its_services(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text()
    assert "alerts.yml" in text
    known = {rule["alert"] for rule in RULES}
    assert set(re.findall(r"`((?:Proxy|Relay)[A-Z]\w+)`", text)) <= known


def test_every_alert_has_its_steps_in_a_guide() -> None:
    told = "".join((FOLDER / f"{name}.md").read_text() for name in GUIDES)
    assert [rule["alert"] for rule in RULES if f"`{rule['alert']}`" not in told] == []
