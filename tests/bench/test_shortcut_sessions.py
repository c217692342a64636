"""A test set whose image sizes alone tell defects apart says so beside its values."""

import pytest
from PIL import Image

CASE = "dfkde_resnet18-tiny.tile-default-scratch-s0"
NOTE = "height of the image files alone has an image AUROC of 100.0 here"


@pytest.fixture
def session(session_options, run_session, tmp_path, write_category):
    """Run a session on images whose height is greater where there is a defect, if asked."""

    def run(height, *more):
        category = write_category(tmp_path / "data" / "tiny" / "tile", 20, 12, 12)
        for file in (*category.glob("test/spot/*"), *category.glob("ground_truth/spot/*")):
            with Image.open(file) as image:
                image.resize((48, height), Image.Resampling.NEAREST).save(file)
        own = ("--image-size", "64", "--no-pictures", "--no-measurements", "-k", CASE)
        return run_session(*session_options, *own, "--data-dir", str(tmp_path / "data"), *more)

    return run


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_the_height_of_the_files_is_noted_in_the_record_and_below_the_table(
    session, store, tmp_path, fit
):
    session(64, "--fit", fit).assert_outcomes(passed=1)
    (record,) = store.records()
    assert NOTE in record.notes["score.image_auroc"]
    text = (tmp_path / "results" / "LEADERBOARD.md").read_text()
    table, _, below = text.partition("\n## Notes\n")
    assert NOTE in below
    assert NOTE not in table


def test_files_of_one_height_need_no_note(session, store, tmp_path):
    session(48).assert_outcomes(passed=1)
    (record,) = store.records()
    assert "image files alone" not in record.notes.get("score.image_auroc", "")
    assert "image files alone" not in (tmp_path / "results" / "LEADERBOARD.md").read_text()
