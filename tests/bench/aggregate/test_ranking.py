"""Only comparable rows are ranked together, and rows without a rank say why."""

from dataclasses import replace

import numpy as np
import pytest
from fake_records import make
from read_markdown import study_tables
from scipy import stats

from bench.aggregate.conditions import budget_share
from bench.aggregate.frame import comparable_runs, lines_of
from bench.aggregate.ranking import MIN_REPLICATES, RankedRow, like_the_best, rank_rows
from bench.aggregate.rows import category_rows, mean_rows
from bench.aggregate.significance import all_pairs, equal_pairs, friedman_p, over_blocks
from bench.metrics.outcomes import pack_scores, unpack
from bench.report.leaderboard import leaderboard_csv, leaderboard_markdown
from bench.studies.anomaly_zoo.study import ANOMALY_ZOO as ZOO
from datasets_lib.catalog import DATASETS
from models.catalog import MODELS


def replicates(model, value, count=MIN_REPLICATES, **fields):
    return [make(model, auroc=value, seed=seed, **fields) for seed in range(count)]


def rows_by_name(records, study=ZOO):
    return {each.row.name: each for each in rank_rows(category_rows(records, study)).rows}


def few(records):
    """The records as those of four-shot cases whose replicates have images of their own."""
    found = []
    for record in records:
        case, first = replace(record.case, shots=4), record.key.data
        key = replace(record.key, id=case.id, data=f"{first} {case.replicate or ''}".strip())
        own = {"images_sha256": key.data}
        own |= {f"first_{name}_sha256": first for name in ("data", "images") if case.replicate}
        found.append(
            replace(record, case=case, key=key, fingerprints={**record.fingerprints, **own})
        )
    return found


def images(**counts):
    return {"fingerprints": {"images": {"fit": 100, "calibration": 11, "test": 64} | counts}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"images": "other hash"}, "other images"),
        ({"fingerprints": {"images_sha256": "other"}}, "other images"),
        ({"protocol": {"image_size": 64}}, "64 px, not its own size"),
        (images(test=32), "32 test images, not 64"),
        ({"protocol": {"images_seen": 500}}, "25 % of its own budget"),
        ({"protocol": {"images_seen": 178}}, "8.9 % of its own budget"),
        ({"protocol": {"images_seen": 4_000}}, "200 % of its own budget"),
        ({"protocol": {"recipe": {}}}, "budget not recorded"),
        ({"count": 1}, "1 of 3 replicates"),
        ({"count": 2}, "2 of 3 replicates"),
        (
            {"fingerprints": {"copied_test_images": 9} | images()["fingerprints"]},
            "9 of 64 test images are copies of training images",
        ),
    ],
)
def test_what_differs_is_listed_below_with_its_difference(change, reason):
    records = [*replicates("rd_resnet50", 0.8), *replicates("rd_resnet18", 0.7)]
    records += replicates("rd_convnext", 0.99, **change)
    found = rows_by_name(records)
    assert list(found)[2] == "rd_convnext pretrained"
    assert [each.rank for each in found.values()] == ["1", "2", "–"]
    assert found["rd_convnext pretrained"].reasons == (reason,)
    text = leaderboard_markdown(records)
    (table, *_) = study_tables(text, "anomaly_zoo")
    row = table.row("rd_convnext")
    assert row["Rank"].notes == (f"No rank: {reason}.",)
    assert not row["Image AUROC"].bold
    assert reason in leaderboard_csv(records)


def test_images_decide_and_not_the_textures_that_some_models_add():
    same = {"fingerprints": {"images_sha256": "the images"}}
    records = replicates("rd_resnet18", 0.8, **same)
    records += replicates("efficientad_small", 0.7, images="hash with textures", **same)
    assert [each.rank for each in rows_by_name(records).values()] == ["1", "2"]


@pytest.mark.parametrize(
    ("model", "fields", "ranked"),
    [
        ("dfm_resnet18", {}, True),
        ("dfkde_resnet18", {}, True),
        ("dfm_resnet18", {"pretrained": False}, False),
        ("padim_resnet18", {}, False),
        ("patchcore_resnet18", {}, False),
        ("autoencoder", {"pretrained": False}, False),
        ("unknown_model", {}, False),
    ],
)
def test_one_replicate_ranks_only_without_randomness(model, fields, ranked):
    (only,) = rows_by_name(replicates(model, 0.9, 1, **fields)).values()
    assert only.ranked == ranked
    assert only.rank == ("1" if ranked else "–")


def test_no_randomness_is_a_spread_of_zero_and_no_certainty():
    records = [make("dfm_resnet18", auroc=0.95), *replicates("rd_resnet18", 0.9)]
    records[1].metrics["multi_scale"]["image_auroc"] = 0.96
    found = rows_by_name(records)
    # Seeds of .96, .90 and .90 may well have a mean of .95.
    assert [each.rank for each in found.values()] == ["1–2", "1–2"]
    estimate = found["dfm_resnet18 pretrained"].row.ranking
    assert (estimate.low, estimate.high) == (0.95, 0.95)
    text = leaderboard_markdown(records)
    row = study_tables(text, "anomaly_zoo")[0].texts("dfm_resnet18")
    assert (row["Image AUROC"], row["Seeds"]) == ("95.00", "no randomness")


@pytest.mark.parametrize(("count", "reasons"), [(1, ("1 of 3 replicates",)), (3, ())])
def test_a_few_shot_case_is_random_whatever_its_model(count, reasons):
    records = few(replicates("dfm_resnet18", 0.95, count))
    records += few(replicates("rd_resnet18", 0.9, 4))
    text = leaderboard_markdown(records)
    assert study_tables(text, "anomaly_zoo")[0].texts("dfm_resnet18")["Seeds"] == str(count)
    # A replicate more, with its own images, is no other condition.
    found = rows_by_name(comparable_runs(records)[0].records)
    assert found["dfm_resnet18 pretrained"].reasons == reasons
    assert found["rd_resnet18 pretrained"].reasons == ()


def test_few_shot_replicates_that_repeat_the_first_do_not_make_it_rank():
    """Before replicates had images of their own, all trained on those of the first."""
    current = few(replicates("dfm_resnet18", 0.95))
    first = current[0].fingerprints
    old = [
        replace(one, key=replace(one.key, data=current[0].key.data), fingerprints=first)
        for one in current
    ]
    (mixed,) = rows_by_name(comparable_runs(old)[0].records).values()
    assert mixed.reasons == ("2 of 3 replicates",)
    later = [replace(one, finished="2026-02-01T00:00:00+00:00") for one in current[1:]]
    chosen = comparable_runs([*old, *later])[0].records
    assert chosen == (old[0], *later)
    assert [each.rank for each in rows_by_name(chosen).values()] == ["1"]


def test_the_newest_choice_of_a_few_shot_replicate_counts():
    """More images to choose from may change the choice of one replicate and not of another."""
    records = few(replicates("dfm_resnet18", 0.95))
    key = replace(records[1].key, data="another choice")
    again = replace(records[1], key=key, finished="2026-02-01T00:00:00+00:00")
    (section,) = comparable_runs([*records, again])
    assert section.records == (records[0], again, records[2])
    assert section.superseded == 1


def test_the_conditions_of_most_rows_are_the_tables():
    few = {"protocol": {"image_size": 64}} | images(test=8)
    records = [
        *replicates("rd_resnet18", 0.9, **few),
        *replicates("rd_resnet50", 0.8),
        *replicates("rd_convnext", 0.7),
    ]
    found = rows_by_name(records)
    assert [each.rank for each in found.values()] == ["1", "2", "–"]
    assert found["rd_resnet18 pretrained"].reasons == (
        "64 px, not its own size",
        "8 test images, not 64",
    )


def test_supervised_models_have_their_own_table():
    supervised = "supersimplenet_supervised_resnet18"
    records = [
        *replicates("supersimplenet_resnet18", 0.8),
        *replicates("rd_resnet18", 0.7),
        *replicates(supervised, 0.95, **images(test=40)),
    ]
    text = leaderboard_markdown(records)
    usual, own, *_ = study_tables(text, "anomaly_zoo")
    assert usual.path[-1] == "surface.woven"
    assert own.path[-1] == "surface.woven, trained on labeled defects"
    assert usual.row("supersimplenet_resnet18")["Rank"].text == "1"
    assert [row["Model"].text for row in own.rows] == [supervised]
    assert len(usual.rows) == 2


def test_rows_that_cannot_rank_do_not_decide_the_conditions():
    records = [*replicates("rd_resnet18", 0.9)]
    for model in ("rd_resnet50", "rd_convnext"):
        records += replicates(model, 0.8, 1, protocol={"image_size": 64})
    assert rows_by_name(records)["rd_resnet18 pretrained"].rank == "1"


def test_a_mean_ranks_only_over_the_same_images_of_every_category():
    records = [
        record
        for model in ("rd_resnet18", "rd_resnet50", "rd_convnext")
        for category in ("01", "02", "03")
        for record in replicates(
            model,
            0.9,
            data=f"btad.{category}",
            images=f"{category} again" if (model, category) == ("rd_convnext", "02") else None,
        )
    ]
    rows, _, _ = mean_rows(lines_of(records), ZOO)
    found = {each.row.label: each for each in rank_rows(rows).rows}
    assert found["rd_convnext"].reasons == ("other images",)
    # Three categories are too few blocks for a test of the other two.
    assert found["rd_resnet18"].reasons == ("3 categories, at least 6 needed to tell 2 rows apart",)


def packed(shift, labels, seed=0):
    """Scores that are better by a shift on equally hard images, as a record stores them."""
    rng = np.random.default_rng(7)
    scores = rng.normal(size=len(labels)) + 2 * labels
    scores += np.random.default_rng(seed).normal(scale=0.3, size=len(labels)) + shift * labels
    packed = pack_scores(scores, labels)
    return packed, float(unpack("image_auroc", packed).groups[0].mean())


def paired_rows(gains, labels):
    """Records of models without randomness whose scores are paired image by image."""
    records = []
    for number, (model, gain) in enumerate(gains.items()):
        text, value = packed(gain, labels, number)
        wide = {"score": {"image_auroc": [value - 0.05, value + 0.05]}}
        record = make(model, auroc=value, intervals=wide)
        record.outcomes["score"] = {"image_auroc": text}
        records.append(record)
    return records


def test_pairs_of_images_tell_rows_apart_whose_intervals_overlap():
    labels = np.repeat([0, 1], [80, 80])
    records = paired_rows({"dfm_resnet18": 0.6, "dfkde_resnet18": 0.0}, labels)
    ranking = rank_rows(category_rows(records, ZOO))
    assert [each.rank for each in ranking.rows] == ["1", "2"]
    assert ranking.method.startswith("DeLong's paired test")
    scores = [record.outcomes["score"]["image_auroc"] for record in records]
    first, second = (unpack("image_auroc", text).groups for text in scores)
    differences = [a - b for a, b in zip(first, second, strict=True)]
    error = np.sqrt(sum(d.var(ddof=1) / len(d) for d in differences))
    delong = 2 * stats.norm.sf(abs(differences[0].mean()) / error)
    assert ranking.rows[1].p == pytest.approx(delong, rel=0.2)  # Welch's t has wider tails
    for record in records:
        record.outcomes.clear()
    ranking = rank_rows(category_rows(records, ZOO))
    assert [each.rank for each in ranking.rows] == ["1–2", "1–2"]
    assert "more conservative" in ranking.method


def test_a_study_that_ranks_by_ap_pairs_images_too():
    labels = np.repeat([0, 1], [80, 80])
    records = paired_rows({"dfm_resnet18": 0.6, "dfkde_resnet18": 0.0}, labels)
    for record in records:
        record.metrics["score"]["image_ap"] = record.metrics["score"]["image_auroc"]
    study = replace(ZOO, ranking="image_ap")
    ranking = rank_rows(category_rows(records, study))
    assert [each.rank for each in ranking.rows] == ["1", "2"]
    assert ranking.method.startswith("A paired jackknife test")
    # What is stored per image says nothing about its map.
    for record in records:
        record.metrics["score"]["pixel_auroc"] = record.metrics["score"]["image_auroc"]
    pixels = category_rows(records, replace(ZOO, ranking="pixel_auroc"))
    assert rank_rows(pixels).method.startswith("Welch's test over seeds alone")


def test_rows_with_other_labels_are_not_paired():
    labels = np.repeat([0, 1], [80, 80])
    records = paired_rows({"dfm_resnet18": 0.6}, labels)
    records += paired_rows({"dfkde_resnet18": 0.0}, np.roll(labels, 1))
    assert "more conservative" in rank_rows(category_rows(records, ZOO)).method


def test_without_intervals_over_images_seeds_alone_are_tested():
    records = [
        make(model, auroc=value + shift, seed=seed, intervals={})
        for model, value in (("rd_resnet18", 0.9), ("rd_resnet50", 0.8))
        for seed, shift in enumerate((-0.01, 0.0, 0.01))
    ]
    ranking = rank_rows(category_rows(records, ZOO))
    assert ranking.method.startswith("Welch's test over seeds alone")
    scipys = stats.ttest_ind([0.89, 0.9, 0.91], [0.79, 0.8, 0.81], equal_var=False).pvalue
    assert ranking.rows[1].p == pytest.approx(scipys)
    records = [make(model, intervals={}) for model in ("dfm_resnet18", "dfkde_resnet18")]
    records[1].metrics["score"]["image_auroc"] = 0.5
    # Without any spread no difference is shown, however far apart they are.
    assert {each.rank for each in rows_by_name(records).values()} == {"1–2"}


def test_a_mean_ranks_by_wilcoxon_over_its_categories():
    names = sorted(DATASETS["mvtec"].categories)
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.8, 0.95, len(names))
    gains = {"dfm_resnet18": 0.03, "dfkde_resnet18": 0.0, "dfm": -0.0001}
    values = {m: hard + g + rng.normal(0, 0.004, len(names)) for m, g in gains.items()}
    records = [
        make(model, f"mvtec.{name}", auroc=float(value))
        for model, own in values.items()
        for name, value in zip(names, own, strict=True)
    ]
    ranking = rank_rows(mean_rows(lines_of(records), ZOO)[0])
    assert [each.rank for each in ranking.rows] == ["1", "2–3", "2–3"]
    assert "Friedman's test (p < .001), then Wilcoxon's" in ranking.method
    p = [stats.wilcoxon(values["dfm_resnet18"], values[m]).pvalue for m in list(values)[1:]]
    assert sorted(p) == sorted(each.p / 3 for each in ranking.rows[1:])


def test_a_mean_of_false_alarms_ranks_the_fewest_first():
    rare = np.random.default_rng(0).uniform(0.01, 0.05, 15)
    records = [
        make(model, f"mvtec.{name}", metrics={"false_alarms": float(value)})
        for model, own in {"dfm_resnet18": rare, "dfkde_resnet18": rare + 0.05}.items()
        for name, value in zip(sorted(DATASETS["mvtec"].categories), own, strict=True)
    ]
    study = replace(ZOO, ranking="false_alarms")
    found = rank_rows(mean_rows(lines_of(records), study)[0]).rows
    assert [(each.row.label, each.rank) for each in found] == [
        ("dfm_resnet18", "1"),
        ("dfkde_resnet18", "2"),
    ]


def of_categories(dataset, values):
    """Records of models' values by category of a dataset, three seeds each."""
    names = sorted(DATASETS[dataset].categories)
    return [
        make(model, f"{dataset}.{name}", seed, float(value), profile="standard")
        for model, own in values.items()
        for name, value in zip(names, own, strict=True)
        for seed in range(MIN_REPLICATES)
    ]


def test_a_higher_mean_is_not_best_against_the_signed_ranks():
    loser = np.full(15, 0.95)
    winner = loser + np.linspace(0.001, 0.004, 15)
    winner[7] = 0.85
    records = of_categories("mvtec", {"dfm_resnet18": loser, "dfkde_resnet18": winner})
    first, second = rank_rows(mean_rows(lines_of(records), ZOO)[0]).rows
    assert (first.row.label, first.rank, second.rank) == ("dfm_resnet18", "1–2", "1–2")
    assert second.p == 1.0
    text = leaderboard_markdown(records)
    assert "2 of the 2 that rank are not shown to differ from the best" in text
    assert "is the best of the" not in text


def test_without_friedmans_evidence_no_pair_differs():
    gains = np.array([[0.011], [0.0], [0.004], [0.004]])
    values = np.random.default_rng(0).normal(0.9, 0.01, (4, 15)) + gains
    assert friedman_p(values) >= 0.05
    alone = all_pairs(over_blocks(values), values.mean(1), equal_pairs(4))
    assert alone.better.any()  # by Wilcoxon's test
    records = of_categories("mvtec", {f"model_{row}": own for row, own in enumerate(values)})
    found = rank_rows(mean_rows(lines_of(records), ZOO)[0]).rows
    assert {each.rank for each in found} == {"1–4"}
    assert {each.p for each in found} == {None, 1.0}


@pytest.mark.parametrize(("rows", "ranked"), [(15, True), (16, False)])
def test_the_best_row_is_tested_among_all_pairs_or_not_at_all(rows, ranked):
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.8, 0.95, 12)
    gains = {f"model_{number}": 0.04 if number == 0 else 0.0 for number in range(rows)}
    values = {m: hard + g + rng.normal(0, 0.004, 12) for m, g in gains.items()}
    ranking = rank_rows(mean_rows(lines_of(of_categories("visa", values)), ZOO)[0])
    if ranked:
        assert [each.rank for each in ranking.rows] == ["1"] + [f"2–{rows}"] * (rows - 1)
        assert "(comparisons: 91, the pairs that may still be equal" in ranking.method
    else:
        reason = "12 categories, at least 13 needed to tell 16 rows apart"
        assert {each.reasons for each in ranking.rows} == {(reason,)}


@pytest.mark.parametrize(
    ("recipe", "images_seen", "fitted", "share"),
    [
        ({"optimizer": "adam", "epochs": 10}, None, 50, 1.0),
        ({"optimizer": "adam", "epochs": 10}, 250, 50, 0.5),
        ({"optimizer": "adam", "epochs": 10, "images": 1_000}, 250, 50, 0.25),
        ({"optimizer": "none", "epochs": 1}, 7, 50, 1.0),
        ({}, None, 50, None),
        ({"optimizer": "adam", "epochs": 10}, 250, 0, None),
    ],
)
def test_share_of_a_recipes_own_budget(recipe, images_seen, fitted, share):
    record = make(protocol={"recipe": recipe, "images_seen": images_seen}, **images(fit=fitted))
    assert budget_share(record) == share


def test_models_without_randomness_are_the_deterministic_ones():
    names = {name for name, entry in MODELS.items() if entry.randomness == "none"}
    assert names == {"dfm", "dfm_nll", "dfm_resnet18", "dfkde", "dfkde_resnet18"}


def test_as_many_are_like_the_best_as_no_test_tells_apart():
    def at(rank, p, *reasons):
        return RankedRow(None, rank, reasons, p)

    twelve = [at("1–2", None), at("1–2", 0.3), *(at(str(n), 0.001) for n in range(3, 13))]
    assert like_the_best([*twelve, at("–", None, "1 of 3 replicates")]) == 2
