"""Pages: what isn't so is struck through and marked, every text is escaped, and each message has its German."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import product

from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from markupsafe import Markup

import panachain
from panachain.viewer import rendering
from panachain.viewer.chart import Chart
from panachain.viewer.folder import _Links
from panachain.viewer.items import Told, Withdrawn
from tests.unit.viewer.helpers import item, observation, of, shown


def section(chart: Chart, key: str, page: int = 1) -> str:
    return str(rendering.section(chart, key, page, _Links(chart, set(), inside=True)))


def overview(chart: Chart) -> str:
    return str(rendering.overview(chart, _Links(chart, set(), inside=False)))


def test_what_is_not_so_is_struck_through_and_under_its_own_heading() -> None:
    html = section(
        of({"resourceType": "Condition", "code": {"text": "Asthma"}, "verificationStatus": "refuted"}), "conditions"
    )
    assert "<s>Asthma</s>" in html
    assert html.index("Not so, or no longer counted") < html.index("Asthma")
    assert "Asthma" not in overview(
        of({"resourceType": "Condition", "code": {"text": "Asthma"}, "verificationStatus": "refuted"})
    )


def test_a_text_is_no_format_and_no_template() -> None:
    html = section(of({"resourceType": "Condition", "code": {"text": "50% {{7*7}} %(x)s <b>"}}), "conditions")
    assert "50% {{7*7}} %(x)s &lt;b&gt;" in html


def test_a_plot_has_a_table_beside_it() -> None:
    html = section(of(observation(1, "2019"), observation(2, "2020")), "laboratory")
    assert html.count("<svg") == 1
    assert 'scope="row"' in html
    assert "2 values from 2019 to 2020: lowest 1, highest 2, newest 2." in html


def test_the_page_of_an_analyte_has_what_the_section_leaves_out() -> None:
    chart = of(*(observation(n, f"20{n:02}") for n in range(20)))
    assert "All of it: 20 values" in section(chart, "laboratory")
    whole = str(rendering.analyte(chart, "laboratory", 1, _Links(chart, set(), inside=True)))
    assert whole.count('<th scope="row"') == 20


def test_what_was_left_out_stands_first() -> None:
    gone = Withdrawn("City clinic", "laboratory", 2020, 0, "wrong-patient")
    told = Told(("Mercy, record x: it doesn't fit",), (gone,), ("mental-health",), {"superseded": 2})
    html = overview(shown(item(observation(1)), told=told, language="de"))
    for text in ("doesn&#39;t fit", "Zurückgezogen von City clinic", "seelische Gesundheit", "Ältere Fassungen: 2"):
        assert text in html


def test_long_sections_have_pages_and_each_entry_is_on_one() -> None:
    many = [
        {"resourceType": "Condition", "code": {"text": f"Problem-{n}-"}, "onsetDateTime": "2020"} for n in range(250)
    ]
    chart = of(*many)
    assert rendering.page_count(chart.section("conditions")) == 3
    together = "".join(section(chart, "conditions", page) for page in (1, 2, 3))
    assert all(together.count(f">Problem-{n}-<") == 1 for n in range(250))


def test_the_policy_names_the_very_style_of_the_page() -> None:
    chart = of(observation(1))
    page = rendering.page(
        chart, "t", rendering.overview(chart, _Links(chart, set(), inside=False)), _Links(chart, set(), inside=False)
    )
    assert "default-src &#39;none&#39;" in page
    assert "<script" not in page
    assert "url(" not in rendering.style()
    assert "@import" not in rendering.style()


def test_each_message_has_its_german_and_no_other_has_one() -> None:
    folder = str(files("panachain.viewer"))
    methods, keywords = (
        [("**.py", "python"), ("**.html", "jinja2")],
        {"_": None, "N_": None, "ngettext": (1, 2), "gettext": None},
    )
    found = extract_from_dir(folder, method_map=methods, keywords=keywords)
    written = {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}
    with (files("panachain.viewer") / "locale" / "de.po").open("rb") as source:
        catalog = {one.id if isinstance(one.id, str) else one.id[0]: one.string for one in read_po(source) if one.id}
    assert written == set(catalog)
    assert all(catalog.values())
    for source_text, translated in catalog.items():
        parts = re.findall(r"%\(\w+\)\w", source_text)
        text = translated if isinstance(translated, str) else translated[0]
        assert sorted(parts) == sorted(re.findall(r"%\(\w+\)\w", text)), source_text


def test_no_address_of_another_host_is_in_the_package() -> None:
    folder = files("panachain.viewer")
    for name in ("templates", "locale"):
        for path in (folder / name).iterdir():
            assert "://" not in path.read_text(encoding="utf-8"), path.name
    assert panachain.__name__


def test_pages_of_one_frame_are_those_that_are_rendered_alone() -> None:
    chart = of(observation(1), {"resourceType": "Condition", "code": {"text": "{{ title }} <b> %(day)s"}})
    links = _Links(chart, set(), inside=True)
    titles = "", "Lab & <title>", "{{ body }} %s %(day)s", "\N{RIGHT-TO-LEFT OVERRIDE}\x00", Markup("<i>")
    bodies = Markup(), Markup("<p>{{ title }} & %s</p>\n"), rendering.section(chart, "conditions", 1, links)
    for key in ("", "laboratory", "document"):
        framed = rendering.frame(chart, links, key=key)
        for title, body in product(titles, bodies):
            assert framed(title, body) == rendering.page(chart, title, body, links, key=key)
