import hashlib
import unicodedata
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_lib.layouts.category import DatasetError, Sample
from datasets_lib.layouts.split import (
    grouped_by,
    limit,
    split_calibration,
    split_category,
    split_labeled,
    split_test,
)

KINDS = st.lists(st.sampled_from([None, "crack", "stain", "scratch"]), max_size=60)


def make(kinds):
    return [
        Sample(f"test/{kind or 'good'}/{n}.png", Path("x"), (), kind)
        for n, kind in enumerate(kinds)
    ]


@given(st.integers(0, 300), st.floats(0.01, 0.99))
def test_calibration_takes_its_share_and_keeps_the_order(count, fraction):
    train = make([None] * count)
    fit, calibration = split_calibration(train, fraction)
    assert sorted([*fit, *calibration], key=train.index) == train
    assert [*fit] == [sample for sample in train if sample in fit]
    assert [*calibration] == [sample for sample in train if sample in calibration]
    if count >= 2:
        assert len(calibration) == min(max(1, round(fraction * count)), count - 1)
    else:
        assert len(calibration) == 0


def test_calibration_depends_only_on_names():
    train = make([None] * 100)
    chosen = {sample.name for sample in split_calibration(train)[1]}
    again = {sample.name for sample in split_calibration(train[::-1])[1]}
    assert chosen == again
    assert len(chosen) == 10
    # Not the first ones, nor every tenth: numbering often follows the time of recording.
    numbers = sorted(train.index(sample) for sample in train if sample.name in chosen)
    assert len({b - a for a, b in pairwise(numbers)}) > 2


@pytest.mark.parametrize("fraction", [0, 1, -0.1])
def test_fraction_outside_0_and_1_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction"):
        split_calibration(make([None] * 9), fraction)


@given(KINDS, st.integers(0, 70))
def test_limit_keeps_order_and_count_and_every_kind(kinds, count):
    samples = make(kinds)
    kept = limit(samples, count)
    assert len(kept) == min(count, len(samples))
    assert [*kept] == [sample for sample in samples if sample in kept]
    if count >= len(set(kinds)):
        assert {sample.defect for sample in kept} == set(kinds)


@given(KINDS, st.integers(0, 70))
def test_a_smaller_limit_is_a_subset(kinds, count):
    samples = make(kinds)
    assert set(limit(samples, count)) <= set(limit(samples, count + 1))
    assert set(limit(samples, count)) == set(limit(samples[::-1], count))


def test_limit_keeps_the_mix():
    counts = {None: 200, "blowhole": 115, "break": 85, "crack": 57, "fray": 32}
    samples = make([kind for kind, n in counts.items() for _ in range(n)])
    kept = Counter(sample.defect for sample in limit(samples, 64))
    for kind, count in counts.items():
        assert abs(kept[kind] - 64 * count / len(samples)) <= 1
    # One of each, then Sainte-Laguë's quotients by exact fractions.
    expected = Counter(counts.keys())
    while expected.total() < 64:
        expected[max(counts, key=lambda k: Fraction(counts[k], 2 * expected[k] + 1))] += 1
    assert kept == expected


def test_every_kind_comes_before_the_mix():
    samples = make([None] * 500 + ["crack"] + ["stain"] * 2)
    assert Counter(s.defect for s in limit(samples, 4)) == {None: 2, "crack": 1, "stain": 1}
    assert Counter(s.defect for s in limit(samples, 2)) == {None: 1, "stain": 1}


@given(st.integers(2, 60), st.randoms())
def test_a_fifth_of_the_normal_images_is_tested_whatever_their_order(count, shuffle):
    normal = make([None] * count)
    shuffled = shuffle.sample(normal, count)
    train, test = split_test(shuffled)
    assert sorted(train + test, key=normal.index) == normal
    assert len(test) == max(1, round(count / 5))
    # Those of the smallest hashes, as anyone can compute.
    by_hash = sorted(normal, key=lambda s: hashlib.sha256(s.name.encode()).hexdigest())
    assert set(test) == set(by_hash[: len(test)])


def test_half_of_each_kind_of_defect_is_labeled_and_leaves_the_test():
    kinds = [None] * 5 + ["crack"] * 5 + ["hole"] * 2 + ["dent"]
    test = [Sample(f"{n}.png", Path(f"{n}.png"), defect=kind) for n, kind in enumerate(kinds)]
    labeled, rest = split_labeled(test)
    assert Counter(sample.defect for sample in labeled) == {"crack": 2, "hole": 1}
    assert Counter(sample.defect for sample in rest) == {None: 5, "crack": 3, "hole": 1, "dent": 1}
    assert sorted(labeled + rest, key=test.index) == test
    assert set(split_labeled(test[::-1])[0]) == set(labeled)


def shots(parts, count):
    """Several shots of each part, named by it."""
    return [
        Sample(f"normal/part{part}_{n}.png", Path(f"normal/part{part}_{n}.png"))
        for part in range(parts)
        for n in range(count)
    ]


@pytest.mark.parametrize("split", [split_test, split_calibration])
@pytest.mark.parametrize("prefix", ["part[0-9]+", ".*_", "part[0-9]+_"])
def test_images_of_one_prefix_stay_together(split, prefix):
    samples = shots(10, 5)
    with grouped_by(prefix):
        train, held_out = split(samples)
    sides = [{sample.name.partition("_")[0] for sample in side} for side in (train, held_out)]
    assert sides[0].isdisjoint(sides[1])
    assert all(sides)
    assert sorted([*train, *held_out], key=samples.index) == samples
    # Without a prefix, a part's shots lie on both sides.
    train, held_out = split(samples)
    sides = [{sample.name.partition("_")[0] for sample in side} for side in (train, held_out)]
    assert not sides[0].isdisjoint(sides[1])


def test_whole_groups_are_held_out_up_to_the_share():
    with grouped_by("part[0-9]+"):
        assert len(split_test(shots(20, 5))[1]) == 20
        assert len(split_test(shots(3, 30))[1]) == 30  # of 18 wanted: one group, whole


def sized(*sizes):
    """As many shots of each part."""
    files = [
        Path(f"normal/part{part}_{n}.png") for part, size in enumerate(sizes) for n in range(size)
    ]
    return [Sample(str(file), file) for file in files]


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ((95, 5), 5),
        ((5, 95), 5),
        ((60, 30, 40), 30),
        ((50, 50), 50),
        ((70, 10, 10, 10), 20),
        ((70, 15, 15), 15),
        ((90, *[1] * 10), 10),
    ],
)
def test_a_group_larger_than_the_share_is_trained_on(sizes, count):
    samples = sized(*sizes)
    with grouped_by("part[0-9]+"):
        train, held_out = split_test(samples)
    assert (len(train), len(held_out)) == (sum(sizes) - count, count)
    assert sorted([*train, *held_out], key=samples.index) == samples


def faulty(parts, kinds):
    """Test images: each part has a shot of each kind, None for a normal one."""
    return [
        Sample(f"test/{kind}/part{part}_{n}.png", Path(f"part{part}_{n}.png"), defect=kind)
        for part in range(parts)
        for n, kind in enumerate(kinds)
    ]


def parts_of(samples):
    return {sample.image.name.partition("_")[0] for sample in samples}


@pytest.mark.parametrize("kinds", [["crack"] * 4, ["crack", "crack", "dent"], [None, "crack"]])
def test_images_of_one_prefix_are_labeled_or_tested_whatever_their_kinds(kinds):
    test = faulty(10, kinds)
    with grouped_by("part[0-9]+_"):
        labeled, rest = split_labeled(test)
        assert split_labeled(test[::-1])[0] == labeled[::-1]
    assert parts_of(labeled).isdisjoint(parts_of(rest))
    assert len(parts_of(labeled)) == 5
    assert sorted([*labeled, *rest], key=test.index) == test
    assert not parts_of(split_labeled(test)[0]).isdisjoint(parts_of(split_labeled(test)[1]))


def test_normal_images_and_groups_with_most_of_a_kind_stay_in_the_test():
    normal = [Sample(f"ok{n}_1.png", Path(f"ok{n}_1.png")) for n in range(6)]
    hole = [Sample("part0_9.png", Path("part0_9.png"), defect="hole")]
    test = normal + faulty(6, ["crack"]) + hole
    with grouped_by("[a-z]+[0-9]+_"):
        labeled, rest = split_labeled(test)
    assert Counter(sample.defect for sample in labeled) == {"crack": 3}
    assert set(normal + hole) < set(rest)
    assert "part0" in parts_of(rest)


def test_one_group_of_all_defects_is_refused():
    with grouped_by("part"), pytest.raises(DatasetError, match="--split-by 'part' leaves no def"):
        split_labeled(faulty(4, ["crack"]))
    with grouped_by("part"):
        assert split_labeled(faulty(1, ["crack", None]))[0] == ()


@pytest.mark.parametrize(("prefix", "what"), [("cap", "none"), ("part", "the same text in all")])
def test_a_prefix_that_parts_nothing_is_refused(prefix, what):
    with grouped_by(prefix), pytest.raises(DatasetError, match=f"--split-by '{prefix}' .*{what}"):
        split_test(shots(4, 4))


def test_normal_forms_of_a_prefix_are_equal():
    names = [unicodedata.normalize("NFD", f"부품{part}_{n}.png") for part in "12" for n in "123"]
    with grouped_by("부품."):
        train, held_out = split_test([Sample(name, Path(name)) for name in names])
    assert (len(train), len(held_out)) == (3, 3)


def test_no_normal_image_is_in_the_group_of_a_defect_without_a_prefix():
    blank = [Sample(f"normal/{n}.png", Path(f"{n}.png")) for n in range(40)]
    defect = Sample("bad/x.png", Path("x.png"), defect="bad")
    with grouped_by("(part[0-9]+_)?"):
        category = split_category("set", "all", Path(), [*shots(2, 5), *blank, defect], False)
    assert len(category.train) == 40


def of_defects(*parts):
    return [Sample(f"bad/part{n}_9.png", Path(f"part{n}_9.png"), defect="bad") for n in parts]


BLANK = Sample("normal/0.png", Path("0.png"))


@pytest.mark.parametrize(
    ("others", "trained"), [([], 4), ([BLANK], 4), ([BLANK, *shots(6, 4)[20:]], 8)]
)
def test_groups_without_a_defect_are_trained_on_if_all_others_are_tested(others, trained):
    samples = [*shots(5, 4), *others, *of_defects(0, 1, 2, 3)]
    with grouped_by("part[0-9]+_"):
        category = split_category("set", "all", Path(), samples, has_masks=False)
    assert len(category.train) == trained
    assert parts_of(category.train).isdisjoint(parts_of(category.test))
    assert len(category.train) + len(category.test) == len(samples)


def test_a_prefix_must_part_the_normal_images_of_a_category():
    with grouped_by("part"), pytest.raises(DatasetError, match=r"Of 8 .*the same text in all"):
        split_category("set", "all", Path(), [*shots(2, 4), *of_defects(0)], has_masks=False)
