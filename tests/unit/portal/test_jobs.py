"""Work that takes long: its stages, its counts and its end."""

from __future__ import annotations

from panachain.errors import PanaChainError, PartlyDoneError
from panachain.portal.jobs import Count, Jobs, Stage


def test_progress_of_several_units_stands_in_one_stage() -> None:
    job = Jobs().add("Uploading", template="x.html")
    job.progress(1, 0, unit="bytes")
    job.progress(5, 10, unit="bytes")
    job.progress(1, 2, unit="records")
    assert job.stages == (Stage("", (Count("bytes", 5, 10), Count("records", 1, 2))),)


def test_a_stage_ends_those_before_it() -> None:
    job = Jobs().add("Revoking", template="x.html")
    job.progress.stage("the chain")
    job.progress.stage("the proxies")
    job.progress(1, 3, unit="grants")
    assert [(stage.text, stage.over) for stage in job.stages] == [("the chain", True), ("the proxies", False)]
    assert job.running
    job.finish(7)
    assert all(stage.over for stage in job.stages)
    assert (job.running, job.result, job.error) == (False, 7, None)


def test_what_was_done_in_part_keeps_its_result() -> None:
    job = Jobs().add("x", template="x.html")
    job.fail(PartlyDoneError("half", result=[1]))
    assert job.result == [1]
    job = Jobs().add("x", template="x.html")
    job.fail(PanaChainError("no"))
    assert job.result is None


def test_outcomes_are_bounded_and_what_runs_stays() -> None:
    jobs = Jobs()
    running = jobs.add("runs", template="x.html")
    ended = []
    for number in range(40):
        ended.append(jobs.add(str(number), template="x.html"))
        ended[-1].finish(None)
    assert jobs.get(running.name) is running
    assert jobs.get(ended[0].name) is None
    assert jobs.latest()[0] is ended[-1]
    assert len(jobs.latest()) <= 32
    jobs.clear()
    assert not jobs.latest()
