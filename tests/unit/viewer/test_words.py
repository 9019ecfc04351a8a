"""Messages are English where nobody translated them."""

from __future__ import annotations

from panachain.viewer.words import N_, translations


def test_translates_or_leaves_as_it_is() -> None:
    assert translations("de").gettext(N_("Allergies")) == "Allergien"
    assert translations("de").gettext("never translated") == "never translated"
    assert translations("en").gettext("Allergies") == "Allergies"
    assert translations("xx").gettext("Allergies") == "Allergies"
