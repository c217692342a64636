"""What a reader returns is checked; an error says what to write instead."""

from dataclasses import replace
from pathlib import Path

import pytest

from datasets_lib.layouts.category import Category, DatasetError, Sample, check_category

NORMAL = (Sample("a.png", Path("a.png")), Sample("b.png", Path("b.png")))
TEST = (*NORMAL, Sample("c.png", Path("c.png"), (Path("m.png"),), "scratch"))
BARE = (*NORMAL, Sample("d.png", Path("d.png"), defect="scratch"))
CATEGORY = Category("set", "all", NORMAL, TEST, has_masks=True)


def test_normal_samples_to_train_on_and_any_to_test_pass():
    check_category(CATEGORY, "set.all")
    check_category(replace(CATEGORY, test=BARE, has_masks=False), "set.all")
    check_category(Category("set", "all", (), ()), "set.all")  # reported later, with the folder


@pytest.mark.parametrize(
    ("category", "said"),
    [
        (None, "returned nothing.*wanted a Category"),
        ((NORMAL, TEST), "returned a tuple"),
        (replace(CATEGORY, train=list(NORMAL)), r"train: wanted a tuple.*Write tuple"),
        (replace(CATEGORY, test=(Path("a.png"),)), "test: wanted samples, found a"),
        (replace(CATEGORY, train=(Sample("a", "a.png"),)), r"pathlib.Path.*Write Path"),
        (replace(CATEGORY, train=(NORMAL[0],) * 3), "'a.png' 3 times"),
        (replace(CATEGORY, train=TEST), "1 with a defect, such as c.png"),
        (replace(CATEGORY, test=BARE), "test: wanted a mask .* found 1 without, such as d.png"),
        (replace(CATEGORY, validation=TEST), "validation: wanted normal images alone"),
    ],
)
def test_a_reader_s_mistake_is_named(category, said):
    with pytest.raises(DatasetError, match=said):
        check_category(category, "set.all")
