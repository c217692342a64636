"""Charts stay readable: names within the picture, numbers that fit, no category without a word."""

import math
import random
import re
from dataclasses import replace
from itertools import product

import pytest
from fake_records import make
from page_records import write

from bench.metrics.catalog import METRICS, Metric
from bench.page.charts.heat_map import heat_map
from bench.page.charts.quality import pareto_front, speed_chart
from bench.page.charts.svg import WIDTH, Scale, label_heights
from bench.page.page import index_page, write_page
from bench.page.source import Source

ERROR = Metric("error", "Error", "class", lambda inputs: 0.0, higher_is_better=False, unit="")


def close_points(folder, count):
    """Rows of one good model and many close ones, each faster and worse than the one before."""
    records = [
        make(
            f"model_{place}",
            auroc=0.99 if place == 0 else 0.5 - place / 1e5,
            measurements={"inference_images_per_s": 100.0 + place},
        )
        for place in range(count)
    ]
    rows = Source([write(records, folder)]).questions[0].main.rows
    return [replace(each, rank=str(at + 1), reasons=()) for at, each in enumerate(rows)]


@pytest.mark.parametrize("count", [12, 30])
def test_names_of_close_points_stay_above_the_axis_and_are_joined_to_them(tmp_path, count):
    rows = close_points(tmp_path, count)
    chart = speed_chart(rows, lambda each: each.row.label)
    marks = chart.findall(".//g[@class='mark']")
    heights = [float(mark.find("text").get("y")) for mark in marks]
    axis = max(float(one.get("y2")) for one in chart.iterfind(".//line[@class='grid']"))
    assert len(heights) == count
    assert all(0 < height < axis for height in heights)
    assert float(chart.find("svg").get("viewBox").split()[3]) == axis + 50
    joined = 0
    for mark, height in zip(marks, heights, strict=True):
        leaders = mark.findall("line[@class='leader']")
        dot = float(mark.find("circle").get("cy"))
        # A name that stays where it belongs stands seven units above its point.
        assert len(leaders) == (abs(height + 7 - dot) > 1)
        for leader in leaders:
            joined += 1
            assert float(leader.get("y1")) == pytest.approx(dot)
            assert height - 14 < float(leader.get("y2")) < height
    assert joined >= count - 2


def cells(metric, count, value):
    """The map of a row of equal values in a number of categories, and the numbers in its cells."""
    categories = [f"category_{place}" for place in range(count)]
    rows = [("r0", "model", dict.fromkeys(categories, value))]
    chart = heat_map(rows, categories, metric)
    return chart, [cell.findtext("text") for cell in chart.iterfind(".//g[@class='mark']/g")]


@pytest.mark.parametrize(
    ("metric", "count", "expected"),
    [
        (METRICS["image_auroc"], 5, "91.26"),
        (METRICS["image_auroc"], 15, "91"),
        (METRICS["image_auroc"], 40, None),
        (ERROR, 12, "0.91"),
        (ERROR, 40, None),
    ],
)
def test_cells_hold_the_digits_that_fit_and_matter(metric, count, expected):
    chart, texts = cells(metric, count, 0.9126)
    assert texts == [expected] * count
    assert len(chart.findall(".//rect")) == count
    hints = [title.text for title in chart.iterfind(".//g[@class='mark']/g/title")]
    assert all(hint.endswith(metric.text(0.9126)) for hint in hints)


@pytest.mark.parametrize(
    ("lang", "said"), [("en", "40 of 45 categories"), ("ko", "범주 45개 중 40개")]
)
def test_a_map_says_how_many_of_the_categories_it_shows(tmp_path, lang, said):
    def page(count):
        folder = tmp_path / str(count)
        records = [make("padim_resnet18", f"parts.c{place:02d}") for place in range(count)]
        return write_page([write(records, folder)], folder, lang, cases=False).read_text()

    assert said in page(45)
    assert "40" not in re.search("<figcaption>.*?</figcaption>", page(40))[0]


def test_a_map_has_the_rows_whose_categories_ran_under_several_recipes(tmp_path):
    names = ("bottle", "cable", "capsule", "carpet")
    records = [make("cfa_resnet18", f"parts.{name}") for name in names]
    for name, recipe in zip(names, ("first", "first", "second", "second"), strict=True):
        records.append(make("padim_resnet18", f"parts.{name}", recipe=recipe))
    text = index_page(Source([write(records, tmp_path)]))
    (drawn,) = re.findall(r'<svg[^>]*aria-label="Quality by category".*?</svg>', text)
    assert drawn.count("<rect") == 8


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_no_point_beats(seed):
    rng = random.Random(seed)
    points = [(rng.randrange(1, 9), rng.randrange(9)) for _ in range(rng.randrange(1, 30))]
    for metric in (METRICS["image_auroc"], METRICS["false_alarms"]):
        sign = 1 if metric.higher_is_better else -1
        beaten = {
            one
            for one, other in product(points, points)
            if other != one and other[0] >= one[0] and sign * other[1] >= sign * one[1]
        }
        front = [points[at] for at in pareto_front(points, metric)]
        assert set(front) == set(points) - beaten
        assert len(front) == len(set(front))


def test_intervals_of_speeds_end_within_the_chart_or_in_an_arrow(tmp_path):
    speeds = {"padim": (90, 100, 110), "cfa": (40, 50, 60), "stfpm": (1, 20, 90)}
    records = [
        make(
            f"{name}_resnet18",
            seed=seed,
            auroc=0.9 + seed / 100,
            measurements={"inference_images_per_s": speed},
        )
        for name, values in speeds.items()
        for seed, speed in enumerate(values)
    ]
    rows = Source([write(records, tmp_path)]).questions[0].main.rows
    chart = speed_chart(rows, lambda each: each.row.label)
    scales = set()
    for ranked_row, mark in zip(rows, chart.findall(".//g[@class='mark']"), strict=True):
        lines = mark.findall("line")
        bars = [one.attrib for one in lines if one.get("class") != "leader"]
        speed = ranked_row.row.measurement("inference_images_per_s")
        across = next(bar for bar in bars if bar["y1"] == bar["y2"])
        low, high = float(across["x1"]), float(across["x2"])
        assert 70 <= low < high <= WIDTH - 170
        # An interval that reaches zero, which has no logarithm, extends beyond the axis.
        assert len(bars) == (2 if speed.low > 0 else 4)
        if speed.low > 0:
            scales.add(round((high - low) / math.log(speed.high / speed.low)))
    assert len(scales) == 1  # the others are drawn in full


@pytest.mark.parametrize("seed", range(10))
def test_labels_never_cover_each_other(seed):
    rng = random.Random(seed)
    spots = [(rng.uniform(0, 700), rng.uniform(0, 300)) for _ in range(40)]
    heights = label_heights(spots, 180, 16)
    assert all(height >= y for (_, y), height in zip(spots, heights, strict=True))
    for a, b in product(range(40), range(40)):
        if a != b and abs(spots[a][0] - spots[b][0]) < 180:
            assert abs(heights[a] - heights[b]) >= 16 - 1e-9


@pytest.mark.parametrize("seed", range(10))
def test_labels_that_reach_the_bottom_are_pushed_up_and_stay_below_the_top(seed):
    rng = random.Random(seed)
    spots = [(rng.uniform(0, 700), rng.uniform(200, 300)) for _ in range(17)]
    heights = label_heights(spots, 180, 16, bottom=300)
    assert all(300 - 16 * 16 - 1e-9 <= height <= 300 for height in heights)
    for a, b in product(range(17), range(17)):
        if a != b and abs(spots[a][0] - spots[b][0]) < 180:
            assert abs(heights[a] - heights[b]) >= 16 - 1e-9


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0.1, 0.2), (1, 3), (39, 55), (5, 5e6), (0.98, 0.99)])
def test_scales_have_round_ticks_within(low, high, log):
    scale = Scale(low, high, 100, 600, log=log)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 22
    assert all(low <= tick <= high * (1 + 1e-9) for tick in ticks)
    places = [scale(tick) for tick in ticks]
    assert places == sorted(places)
    assert (scale(low), scale(high)) == (100, 600)
