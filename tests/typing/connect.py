"""What a type checker sees of `connect` and of the command line's `acting`; mypy reads this file, nothing runs it.

`assert_type` fails where the type is another one; an ignored error that isn't there fails too (`warn_unused_ignores`).
"""

from __future__ import annotations

from typing import assert_type

from panachain import Hospital, Patient, Practitioner, Registrar, Researcher, Role, connect
from panachain.cli.app import App


def each_role_has_its_class() -> None:
    assert_type(connect("me", role="patient"), Patient)
    assert_type(connect("clinic", role="hospital"), Hospital)
    assert_type(connect("doctor", role="practitioner"), Practitioner)
    assert_type(connect("study", role="researcher"), Researcher)
    assert_type(connect("registrar", role="registrar"), Registrar)


def a_member_of_the_enum_is_as_good_as_the_word() -> None:
    assert_type(connect(role=Role.PATIENT, passphrase="secret"), Patient)
    assert_type(connect(role=Role.HOSPITAL, passphrase_file="passphrase"), Hospital)
    assert_type(connect(role=Role.PRACTITIONER, passphrase_fd=3), Practitioner)
    assert_type(connect(role=Role.RESEARCHER, home="home"), Researcher)
    assert_type(connect(role=Role.REGISTRAR, network="network.json"), Registrar)


def the_context_manager_gives_the_same_class() -> None:
    with connect("me", role="patient") as patient:
        assert_type(patient, Patient)


def a_name_alone_gives_the_union() -> None:
    with connect("me") as actor:
        assert_type(actor, Patient | Hospital | Practitioner | Researcher | Registrar)
        if isinstance(actor, Patient):
            assert_type(actor, Patient)


def what_another_role_does_is_refused() -> None:
    with connect("me", role="patient") as patient:
        patient.upload([], "me")  # type: ignore[attr-defined]
    with connect("clinic", role="hospital") as hospital:
        hospital.grant("doctor", ["all"])  # type: ignore[attr-defined]


def what_is_no_option_is_refused() -> None:
    connect("me", role="patient", password="secret")  # type: ignore[call-overload]


def the_command_line_s_actors_are_typed_too(app: App) -> None:
    with app.acting(Role.PATIENT) as patient:
        assert_type(patient, Patient)
    with app.acting(Role.HOSPITAL) as hospital:
        assert_type(hospital, Hospital)
    with app.acting(Role.PATIENT, Role.HOSPITAL) as either:
        assert_type(either, Patient | Hospital)
    with app.acting(Role.PRACTITIONER, Role.RESEARCHER) as reader:
        assert_type(reader, Practitioner | Researcher)
    with app.acting(Role.PATIENT, Role.PRACTITIONER, Role.RESEARCHER) as one:
        assert_type(one, Patient | Practitioner | Researcher)
