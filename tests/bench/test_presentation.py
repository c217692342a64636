"""What a table says of its columns agrees with where their figures come from."""

from bench.metrics import SEES_TEST_LABELS
from bench.report.presentation import PRESENTATIONS


def test_columns_that_test_labels_chose_are_headed_so_and_no_others():
    for presentation in PRESENTATIONS.values():
        for column in presentation.columns:
            assert column.test_chosen == ("test-chosen" in column.heading)
        assert presentation.ranking not in SEES_TEST_LABELS
    chosen = {c.metric for p in PRESENTATIONS.values() for c in p.columns if c.test_chosen}
    assert chosen == {
        *("accuracy_best_f1", "precision_best_f1", "recall_best_f1", "f1_best"),
        "top1_best_epoch",
    }
