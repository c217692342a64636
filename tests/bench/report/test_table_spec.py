"""What a table says of its columns agrees with where their figures come from."""

from fake_records import make

from bench.metrics.catalog import METRICS
from bench.report.leaderboard import leaderboard_markdown
from bench.table_spec import TABLE_SPECS


def test_columns_that_test_labels_chose_are_headed_so_and_no_others():
    for table_spec in TABLE_SPECS.values():
        for column in table_spec.columns:
            assert column.test_chosen == ("test-chosen" in column.heading)
        assert not METRICS[table_spec.ranking].sees_test_labels
    chosen = {c.metric for p in TABLE_SPECS.values() for c in p.columns if c.test_chosen}
    assert chosen == {
        *("accuracy_best_f1", "precision_best_f1", "recall_best_f1", "f1_best"),
        "top1_best_epoch",
    }


def test_what_other_test_images_may_do_is_told_and_reasons_without_a_cell_are_not():
    records = [
        make("rd_resnet18", seed=seed, intervals={"single_scale": {"image_auroc": ends}})
        for seed, ends in enumerate(([0.9, 0.98], [0.95, 0.99], [None, None]))
    ]
    records[0].reasons["single_scale.threshold.sigma_3"] = "a calibration score is infinite"
    text = leaderboard_markdown(records)
    assert "image AUROC of one run by about ± 2.00 to 4.00 points" in text
    assert "a calibration score is infinite" not in text
    assert "may move" not in leaderboard_markdown([make("rd_resnet18")])
