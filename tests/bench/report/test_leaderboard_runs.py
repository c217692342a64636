"""Which of several runs of a case a leaderboard shows, and what it says about those that failed."""

import pytest
from fake_records import make
from read_markdown import details

from bench.aggregate.frame import lines_of
from bench.aggregate.rows import mean_rows
from bench.report.leaderboard import leaderboard_markdown
from bench.studies.anomaly_zoo.study import ANOMALY_ZOO


def auroc_of(markdown):
    return details(markdown, "rd_backbone", "rd_resnet18")[0].texts("rd_resnet18")["Image AUROC"]


def test_the_newest_finished_run_of_a_key_counts():
    old = make(auroc=0.5, finished="2026-01-01T00:00:00+00:00")
    new = make(auroc=0.7, finished="2026-01-02T00:00:00+00:00")
    failed = make(status="failed", finished="2026-01-03T00:00:00+00:00")
    text = leaderboard_markdown([new, failed, old])
    assert auroc_of(text) == "70.00"
    assert "1 failed, crash" in text
    assert "values above: an earlier run" in text


def test_seeds_of_two_recipes_are_never_averaged():
    old = [make(seed=seed, auroc=0.97, recipe="old") for seed in range(3)]
    new = make(seed=5, auroc=0.5, recipe="new", finished="2026-02-01T00:00:00+00:00")
    text = leaderboard_markdown([*old, new])
    assert auroc_of(text) == "50.00"
    assert "Left out: 3 other runs" in text


@pytest.mark.parametrize(
    ("images_seen", "shown"), [(2_000, "50.00"), (1_000, "90.00"), (4_000, "90.00")]
)
def test_a_newer_run_hides_an_older_one_unless_its_budget_is_another(images_seen, shown):
    old = make(auroc=0.9, protocol={"images_seen": 2_000}, recipe="old")  # its own 20 passes of 100
    new = make(
        auroc=0.5,
        protocol={"images_seen": images_seen},
        recipe="new",
        finished="2026-02-01T00:00:00+00:00",
    )
    for records in ([old, new], [new, old]):
        assert auroc_of(leaderboard_markdown(records)) == shown


def test_more_than_the_budget_is_nearer_to_it_than_much_less():
    short, long = (
        make(auroc=auroc, protocol={"images_seen": images}, recipe=f"{images}")
        for auroc, images in ((0.5, 500), (0.9, 4_000))
    )
    for records in ([short, long], [long, short]):
        assert auroc_of(leaderboard_markdown(records)) == "90.00"


def with_textures(source, **fields):
    fingerprints = {"auxiliary_pictures": source}
    return make("draem", images=f"with {source}", fingerprints=fingerprints, **fields)


def test_real_textures_are_preferred_and_procedural_ones_named():
    real = with_textures("dtd", auroc=0.9)
    newer = with_textures("procedural", auroc=0.5, finished="2026-02-01T00:00:00+00:00")
    both = details(leaderboard_markdown([real, newer]), "anomaly_zoo", "draem")[0]
    assert both.texts("draem")["Image AUROC"] == "90.00"
    assert not any("procedural" in note for note in both.row("draem")["Model"].notes)
    alone = details(leaderboard_markdown([newer]), "anomaly_zoo", "draem")[0]
    assert any("procedural" in note for note in alone.row("draem")["Model"].notes)


def test_categories_with_other_textures_are_not_averaged():
    sources = ("dtd", "dtd", "procedural")
    records = [
        with_textures(source, data=f"btad.{name}")
        for name, source in zip(("01", "02", "03"), sources, strict=True)
    ]
    rows, partial, _ = mean_rows(lines_of(records), ANOMALY_ZOO)
    assert rows == []
    assert sorted(row.label.rpartition(" ")[2] for row in partial) == ["dtd)", "procedural)"]


def test_failed_and_skipped_cases_are_counted_with_reason():
    records = [make()]
    records += [make("rd_convnext", seed=seed, status="skipped") for seed in range(5)]
    # Skipped once, run later: no longer reported.
    records += [make(status="skipped", finished="2025-01-01T00:00:00+00:00")]
    text = leaderboard_markdown(records)
    assert "## Not finished: 5\n" in text
    assert "5 skipped, crash (profile `smoke`): it broke" in text
    assert "and 2 more" in text


def test_what_failed_on_one_machine_stays_until_it_finishes_there():
    days = [f"2026-01-0{day}T00:00:00+00:00" for day in range(1, 5)]
    cpu, gpu = "cpu | torch 2.14", "gpu | torch 2.14"
    other = make(environment=gpu, auroc=0.7, finished=days[0])
    failed = make(status="failed", environment=cpu, finished=days[1])
    later = make(environment=gpu, auroc=0.7, finished=days[2])
    text = leaderboard_markdown([other, failed, later])
    assert "- 1 failed, crash (profile `smoke`, cpu): it broke `rd_resnet18-surface.woven" in text
    assert "values above: an earlier run" not in text  # that run is another machine's
    done = make(environment=cpu, auroc=0.7, finished=days[3])
    assert "Not finished" not in leaderboard_markdown([other, failed, later, done])
    assert "- 1 failed, crash (profile `smoke`): it broke" in leaderboard_markdown([failed])


def test_a_failure_on_an_unknown_machine_stays_until_the_case_finishes_on_any():
    days = [f"2026-01-0{day}T00:00:00+00:00" for day in range(1, 4)]
    records = [make(environment=f"gpu {day}", finished=day) for day in days]
    records[1] = make(status="failed", environment=None, finished=days[1])
    before, crashed, after = records
    text = leaderboard_markdown([before, crashed])
    assert "- 1 failed, crash (profile `smoke`): it broke" in text
    assert "values above: an earlier run" in text
    assert "Not finished" not in leaderboard_markdown([before, crashed, after])


def test_what_was_skipped_on_one_machine_and_finished_on_another_is_finished():
    records = [make(environment="gpu"), make(environment="cpu", status="skipped")]
    assert "Not finished" not in leaderboard_markdown(records)
