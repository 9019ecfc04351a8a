"""The matcher: by system and code, by range, by ingredient, by component, and by words as the last resort."""

from __future__ import annotations

import random
import re

import pytest

from panachain.records.sensitivity import PROFILES, Finding, category_of_kinds, matcher, matcher_of
from panachain.records.sensitivity.matcher import NUMBER, neighbours, plain_text
from panachain.records.sensitivity.systems import FORMS, canonical_code, canonical_system
from panachain.records.sensitivity.tables import rows

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
LOINC = "http://loinc.org"


def found(system: str, code: str, display: str = "", profile: str = "default") -> set[str]:
    return {one.kind for one in matcher_of(PROFILES[profile]).look(system, code, display)}


@pytest.mark.parametrize("code", ["F11.20", "F1120", "f11.20", "F11"])
def test_a_code_is_found_however_it_is_spelled(code: str) -> None:
    assert "OPIOIDUD" in found(ICD, code)


def test_a_range_holds_what_is_below_its_ends() -> None:
    assert "ETHUD" in found(ICD, "F10.239")
    assert "HIV" in found("icd-10", "B24") | found(ICD, "B24")


def test_a_code_counts_in_its_own_system_only() -> None:
    """A bed `B20` is no diagnosis."""
    assert not found("http://hospital.example/beds", "B20")
    assert not found("", "B20")


def test_a_code_with_a_right_check_digit_proves_its_system() -> None:
    assert "HIV" in found("", "86406008")
    assert not found("", "86406007")


@pytest.mark.parametrize(
    ("display", "kind"),
    [
        ("dolutegravir 50 MG Oral Tablet", "HIV"),
        ("Methadone Hydrochloride 10 MG Oral Tablet", "OPIOIDUD"),
        ("lithium carbonate 300 MG", "MH"),
        ("mifepristone 200 MG Oral Tablet", "ABORTION"),
    ],
)
def test_a_medicine_is_known_by_its_ingredient(display: str, kind: str) -> None:
    categories = category_of_kinds(found(RXNORM, "999999999", display)), category_of_kinds([kind])
    assert categories[0] is categories[1]


@pytest.mark.parametrize(
    "text",
    [
        "HIV-Infektion",
        "Infection par le VIH",
        "infección por VIH",
        "HIV positive",
        "Depressive Episode",
        "dépression sévère",
    ],
)
def test_words_are_known_in_four_languages(text: str) -> None:
    assert found("", "", text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Zidovudin 250 mg", "HIV"),
        ("lamivudina/zidovudina", "HIV"),
        ("Metadona 5 mg comprimidos", "OPIOIDUD"),
        ("Naltrexon 50 mg", "OPIOIDUD"),
        ("buprenorfina sublingual", "OPIOIDUD"),
        ("Acamprosat 333 mg", "ETHUD"),
        ("clorpromazina", "PSY"),
        ("Metilfenidato 10 mg", "PSY"),
        ("Olanzapin", "PSY"),
        ("Lithiumcarbonat 400", "PSY"),
        ("Mifepriston 200 mg", "ABORTION"),
        ("dolutégravir", "HIV"),
    ],
)
def test_a_medicine_is_known_by_its_name_in_other_languages(name: str, kind: str) -> None:
    assert kind in {one.kind for one in matcher_of().look("", "", name)}


def test_words_are_whole_words() -> None:
    assert not found("", "", "archive of shivering")
    assert not found("", "", "band aids and hearing aid")


def test_what_only_hints_is_closed_by_the_strict_profile_alone() -> None:
    hints = next(line for line in rows("ingredients") if line[2] != "tells")
    assert not found(RXNORM, "999999999", hints[0])
    assert found(RXNORM, "999999999", hints[0], "strict")


def test_a_profile_closes_its_own_kinds_only() -> None:
    assert found(ICD, "F11.20", profile="us-42cfr2")
    assert not found(ICD, "B20", profile="us-42cfr2")


def test_the_query_of_an_address_tells_what_it_searches() -> None:
    matcher = matcher_of()
    assert matcher.address("https://fhir.example/Observation?code=http%3A%2F%2Floinc.org%7C24012-7")
    assert not matcher.address("https://fhir.example/Observation?code=2345-7")


@pytest.mark.parametrize("value", ["F11.20", "86406008", "HIV disease", "methadone 10 MG", "24012-7", "/44261-6/x"])
def test_what_may_tell_is_never_passed_over(value: str) -> None:
    assert matcher_of().may_tell(value)


@pytest.mark.parametrize("value", ["laboratory", "2345-7", "Glucose", "Amoxicillin 500 MG", "final", "kg"])
def test_what_is_common_does_not_tell(value: str) -> None:
    assert not matcher_of().may_tell(value)


def test_whatever_a_coding_tells_may_tell() -> None:
    """`may_tell` looks at one value without its system: it may say yes too often, never too seldom."""
    matcher = matcher_of()
    for system, code, _kind, display in rows("codes"):
        if matcher.look(system, code, display):
            assert matcher.may_tell(code) or matcher.may_tell(display)


@pytest.mark.parametrize("profile", ["default", "strict", "minimal"])
def test_whatever_is_found_may_tell_however_it_is_written(profile: str) -> None:
    """The quick look is taken for whatever stands in a record, so it must know all that the whole look knows."""
    asked, chance, found = matcher_of(PROFILES[profile]), random.Random(73), 0
    codes = [code for _, code in matcher.listed()] + [end for line in rows("ranges") for end in line[1:3]]
    signs = (*("{}", " {} ", "{}+", "{}-", "{}A", "0{}", "{}0", "{}.1", "x{}", "{}/x", "{}&x"), "{}-00", "{}|x|")
    signs += (*("{}+{}", "{}|{}", "{}:{}", "{},{}", "{} {}", "{};{}=1", "{}#{}"), "/{}?a={}", "{}%7C{}", "x?code=%7C{}")
    systems = ("", *(line[1] for line in rows("systems")))
    for _ in range(5000):
        code = chance.choice(signs).format(*chance.sample(codes, 2))
        code = chance.choice((code, code.lower(), code[:3] + "." + code[3:]))
        if asked.look(chance.choice(systems), code) or asked.address(code):
            found += 1
            assert asked.may_tell(code), code
    assert found > 50


@pytest.mark.parametrize("code", ["420721002+758998", "7946007|x|+86406008", "758998,86406008", "86406008y"])
def test_a_concept_in_an_expression_is_found_by_the_quick_look(code: str) -> None:
    assert found(SNOMED, code)
    assert matcher_of().may_tell(code)


@pytest.mark.parametrize("name", ["words", "ingredients", "substances"])
def test_the_quick_look_through_a_text_never_misses_a_phrase(name: str) -> None:
    known, column = matcher.vocabulary(name), 1 if name == "words" else 0
    for phrase in (line[column] for line in rows(name)):
        before = "para" if phrase.startswith("*") else ""
        for text in ("{}", "x {} y", "({})", "mild/{}", "1-{}, then"):
            written = text.format(before + phrase.strip("*"))
            assert known.may_find(written)
            assert list(known.findings(written))
    assert not known.may_find("walks daily, knee better")


def test_a_text_is_compared_without_case_accents_and_blanks() -> None:
    assert plain_text("  Dépression\n SÉVÈRE ") == "depression severe"


def test_a_finding_says_which_rule_it_follows() -> None:
    (one, *_) = matcher_of().look(ICD, "F11.20")
    assert "F11" in one.rule
    assert one.tells


class TestNumbers:
    """Codes that are numbers are looked for at one look; it never says less than the whole look."""

    LENGTHS = tuple(length for length in range(1, 19) if re.fullmatch(NUMBER, "0" * length))

    def test_no_phrase_begins_like_a_number(self) -> None:
        for name in ("words", "ingredients", "substances"):
            for phrase in matcher.vocabulary(name).phrases:
                assert not re.fullmatch("[0-9-]+", phrase.strip("*")[:5]), phrase

    def test_no_range_holds_a_number(self) -> None:
        """Of all numbers of a length those count that are nearest to the ends of a range."""
        for system, first, last, *_ in rows("ranges"):
            for length in self.LENGTHS:
                digits = [re.match("[0-9]*", end)[0][:length] for end in (first, last)]  # type: ignore[index]
                near = {int(one or "0") + step for one in digits for step in (-1, 0, 1)}
                for begin in {f"{one:0{len(digits[0])}}" for one in near if one >= 0}:
                    for number in (begin.ljust(length, "0")[:length], begin.ljust(length, "9")[:length]):
                        assert not FORMS[system].fullmatch(number) or not (
                            first <= number and (number <= last or number.startswith(last))
                        ), (system, first, last, number)
            assert not FORMS[system].fullmatch("1-1")

    def test_every_system_with_listed_codes_spells_a_number_as_it_is(self) -> None:
        for system in {name for name, _ in matcher.listed()}:
            for number in ("1-1", "12345-6", *("1" * length for length in self.LENGTHS)):
                assert canonical_code(system, number) == number

    @pytest.mark.parametrize("profile", ["default", "strict", "us-ca-ab352"])
    def test_they_tell_what_the_whole_look_tells(self, profile: str) -> None:
        asked, chance = matcher_of(PROFILES[profile]), random.Random(72)
        listed = [code for _, code in matcher.listed() if re.fullmatch(NUMBER, code)]
        near = [f"{int(one[:5].rstrip('-')) + 2}-{chance.randrange(10)}" for one in listed if "-" in one]
        others = [f"{chance.randrange(10**5)}-{chance.randrange(10)}" for _ in range(500)]
        others += [str(chance.randrange(10**length)).zfill(length) for length in self.LENGTHS for _ in range(50)]
        some = [*chance.sample(listed, 300), *chance.sample(near, 300), *others]
        some = [one for one in some if re.fullmatch(NUMBER, one)]
        assert len(some) > 1000
        told = asked.numbers_that_may_tell(some)
        assert told == {one for one in some if asked.may_tell(one)}
        assert told


class TestNeighbours:
    """Numbers of LOINC and RxNorm are given out in groups: what stands beside a listed one hints at the same."""

    @staticmethod
    def alone(system: str) -> tuple[int, int, str]:
        """Return a listed number whose next two are free, the second of these, and the listed one's kind."""
        numbers, kinds = neighbours(system)[""]
        codes = [code.partition("-")[0] for name, code in matcher.listed() if name == system]
        listed = {int(code) for code in codes if code.isdecimal()}
        return next(
            (number, number + 2, kind)
            for number, kind in zip(numbers, kinds, strict=True)
            if not listed.intersection(range(number + 1, number + 6))
        )

    @pytest.mark.parametrize(("system", "after"), [(LOINC, "-0"), (RXNORM, "")])
    def test_a_neighbour_without_a_display_hints_in_the_strict_profile_alone(self, system: str, after: str) -> None:
        number, beside, kind = self.alone(canonical_system(system))
        (one,) = matcher_of(PROFILES["strict"]).look(system, f"{beside}{after}")
        assert one == Finding(kind, tells=False, rule=f"near {canonical_system(system)} {number}")
        assert not found(system, f"{beside}{after}")

    @pytest.mark.parametrize(("system", "after"), [(LOINC, "-0"), (RXNORM, "")])
    def test_a_display_says_more_than_a_neighbour(self, system: str, after: str) -> None:
        _, beside, _ = self.alone(canonical_system(system))
        assert not found(system, f"{beside}{after}", "amoxicillin 500 MG Oral Tablet", "strict")

    def test_the_fourth_number_is_no_neighbour(self) -> None:
        number, _, _ = self.alone("rxnorm")
        assert found(RXNORM, str(number + 3), profile="strict")
        assert not found(RXNORM, str(number + 4), profile="strict")

    def test_a_number_of_another_system_has_no_neighbours(self) -> None:
        _number, beside, _ = self.alone("rxnorm")
        assert found(RXNORM, str(beside), profile="strict")
        assert not found("http://hospital.example/beds", str(beside), profile="strict")
        assert not found("", str(beside), profile="strict")

    def test_what_is_no_number_has_no_neighbours(self) -> None:
        assert not found(RXNORM, "", profile="strict")
        assert not found(RXNORM, "12a", profile="strict")
        assert not found(LOINC, "LA-1", profile="strict")

    def test_parts_and_answers_of_loinc_have_numbers_of_their_own(self) -> None:
        """LA10 has nothing to do with LP10 or 10."""
        numbers = {before: set(listed) for before, (listed, _) in neighbours("loinc").items()}
        near = {number + step for number in numbers[""] for step in range(-3, 4)}
        far = next(number for number in sorted(numbers.get("LP", set()) | {999_999_999}) if number not in near)
        assert not found(LOINC, f"{far}-0", profile="strict")

    def test_what_is_listed_as_harmless_has_no_kind_to_hint_at(self) -> None:
        """Else whatever stands beside it would be closed by it."""
        for system in ("loinc", "rxnorm"):
            assert all("-" not in kinds for _, kinds in neighbours(system).values())

    def test_whatever_a_neighbour_hints_at_may_tell(self) -> None:
        strict = matcher_of(PROFILES["strict"])
        for system, after in (("loinc", "-0"), ("rxnorm", "")):
            for number in neighbours(system)[""][0][:200]:
                assert strict.may_tell(f"{number + 2}{after}")


class TestWordsInTheirSentence:
    """A word that is denied, only screened for or a relative's gives nothing away; it hints."""

    @pytest.mark.parametrize(
        "text",
        [
            "Denies depression",
            "No history of alcohol abuse",
            "negative for suicidal ideation",
            "Family history of schizophrenia",
            "Depression screening (procedure)",
            "Screening for domestic abuse",
            "Assessment of anxiety",
            "Substance use: never",
            "Alcohol use: denied.",
            "Alkoholabusus verneint",
            "keine Depression",
            "pas de dépression",
            "sin depresión",
        ],
    )
    def test_such_a_text_is_closed_by_the_strict_profile_alone(self, text: str) -> None:
        assert not found("", "", text)
        assert found("", "", text, "strict")
        assert matcher_of(PROFILES["strict"]).may_tell(text)

    @pytest.mark.parametrize(
        "text",
        [
            "Depression",
            "Patient has no insight into their depression",
            "no fever, depression since May",
            "Depression screening positive",
            "Depression screening test was positive",
            "Depression: negative thoughts since May",
            "Substance use: never without alcohol",
            "anxiety: none; depression: severe",
            "Denies depression. Alcohol dependence in remission",
        ],
    )
    def test_whatever_else_is_said_of_it_tells(self, text: str) -> None:
        assert found("", "", text)

    @pytest.mark.parametrize("text", ["no HIV", "negative for syphilis", "not pregnant", "screening for HIV"])
    def test_that_somebody_was_tested_for_it_tells_also_if_they_have_not_got_it(self, text: str) -> None:
        assert found("", "", text)

    @pytest.mark.parametrize(
        "text",
        [
            "ST segment depression in V4",
            "respiratory depression",
            "bone marrow depression",
            "Depression fracture of tibial plateau",
            "Potassium, panic value called",
            "Bipolar hemiarthroplasty of hip",
            "Chlamydia pneumoniae IgG",
            "rape pollen",
        ],
    )
    def test_a_word_with_another_meaning_tells_nothing(self, text: str) -> None:
        assert not found("", "", text)
        assert not found("", "", text, "strict")

    def test_a_listed_code_tells_whatever_its_display_says(self) -> None:
        assert found(SNOMED, "35489007", "no depression")


def test_the_padding_of_an_openmrs_concept_counts_in_whatever_system_it_is_exported() -> None:
    padded = "1255".ljust(36, "A")
    assert found(LOINC, padded) == found(SNOMED, padded) == found("", padded) == {"HIV"}
    assert not found(LOINC, "1255")


def test_long_texts_are_not_remembered() -> None:
    made = matcher.Matcher()
    assert made.text("word " * 200 + "HIV disease") == made.text("HIV disease")
    assert made._remembered.cache_info().currsize == 1


@pytest.mark.parametrize(
    "text",
    [
        *(
            "H\u200bIV positive",
            "HI\u00adV positive",
            "\u202eHIV\u202c positive",
            "HIV\ufe0f positive",
            "H\u034fIV positive",
        ),
        # Between words it parts them, as where a line may be broken.
        *("HIV\u200bpositive", "test:\u200bHIV\u200bpositive", "H\u200bI\u2060V\U000e0041 positive"),
    ],
)
def test_signs_that_nobody_sees_hide_no_word(text: str) -> None:
    assert "HIV" in {one.kind for one in matcher_of().text(text)}


def test_signs_that_nobody_sees_make_no_word_of_others() -> None:
    assert not matcher_of().text("arch\u200bive, H\u2764\ufe0fIV, Schif\u00adfahrt")
