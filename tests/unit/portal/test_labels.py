"""What values are called on pages."""

from __future__ import annotations

from panachain.cli import words
from panachain.model.actors import Role, Status
from panachain.model.policy import PolicyStatus
from panachain.model.scope import Category, Purpose
from panachain.portal import labels
from panachain.portal.i18n import languages, speaking
from panachain.viewer import kinds
from panachain.viewer.words import translations


def test_labels_tell_values_members_and_what_is_unknown() -> None:
    assert labels.label(labels.CATEGORIES, Category.VITALS) == "vital signs"
    assert labels.label(labels.STATES, Status.ACTIVE) == "active"
    assert labels.label(labels.ROLES, Role.PATIENT) == "patient"
    assert labels.label(labels.STATES, "REVOKED") == "revoked"
    assert "\x1b" not in labels.label(labels.STATES, "odd\x1b[31m")


def test_every_category_purpose_role_and_state_has_a_word() -> None:
    assert set(labels.CATEGORIES) >= {one.value for one in Category} | set(words.SCOPES)
    assert {one.value for one in Purpose} == set(labels.PURPOSES)
    assert {one.value for one in Role} == set(labels.ROLES)
    assert {one.name.lower() for one in (*Status, *PolicyStatus)} <= set(labels.STATES)


def test_a_category_is_called_the_same_by_the_portal_and_the_viewer() -> None:
    for language in languages():
        with speaking(language):
            for word, message in kinds.CATEGORIES.items():
                assert translations(language).gettext(message) == labels.label(labels.CATEGORIES, word)
