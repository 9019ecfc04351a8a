"""Work that takes long: its stages, its counts and its end."""

from __future__ import annotations

from panachain.errors import PanaChainError, PartlyDoneError
from panachain.portal.jobs import Count, Job, Jobs, Stage


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


def ended(jobs: Jobs, template: str, *, shown: bool) -> Job:
    job = jobs.add("x", template=template, context={"more": 1})
    job.finish([1])
    job.is_shown = shown
    return job


def test_what_was_shown_goes_when_newer_work_of_the_same_kind_has_been_shown() -> None:
    jobs = Jobs()
    other = ended(jobs, "other.html", shown=True)
    unseen = ended(jobs, "x.html", shown=False)
    seen = [ended(jobs, "x.html", shown=True) for _ in range(4)]
    assert [job.is_dropped for job in seen] == [True, True, False, False]
    assert (seen[0].result, seen[0].context) == (None, {})
    assert seen[-1].result == [1]
    assert (other.result, unseen.result) == ([1], [1])


def test_what_nobody_looks_at_is_bounded_too() -> None:
    jobs = Jobs()
    made = [ended(jobs, "x.html", shown=False) for _ in range(20)]
    assert sum(job.result is not None for job in made) == 8
    assert made[-1].result == [1]


def test_at_the_lock_every_outcome_goes_and_what_runs_is_known() -> None:
    jobs = Jobs()
    done, running = ended(jobs, "x.html", shown=False), jobs.add("runs", template="x.html")
    jobs.drop()
    assert (done.result, done.is_dropped) == (None, True)
    assert jobs.running == [running]
    assert not running.is_dropped


def test_outcomes_are_bounded_and_what_runs_stays() -> None:
    jobs = Jobs()
    running = jobs.add("runs", template="x.html")
    over = []
    for number in range(40):
        over.append(jobs.add(str(number), template="x.html"))
        over[-1].finish(None)
    assert jobs.get(running.name) is running
    assert jobs.get(over[0].name) is None
    assert jobs.latest()[0] is over[-1]
    assert len(jobs.latest()) <= 32
    jobs.clear()
    assert not jobs.latest()
