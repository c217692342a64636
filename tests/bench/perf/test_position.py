"""The comparison of a case's figures by its position in a session."""

from types import SimpleNamespace

from case_names import case_named

from bench.perf import position


def record(**measurements):
    return SimpleNamespace(measurements=measurements)


def test_ratios_are_of_medians_and_figures_that_nobody_has_are_left_out():
    together = [{"a": record(fit_seconds=fit), "b": record(fit_seconds=2.0)} for fit in (3, 9, 4)]
    alone = [{"a": record(fit_seconds=fit), "b": record(fit_seconds=None)} for fit in (2, 2, 8)]
    assert position.rows(together, alone) == [["first, a: fit_seconds", "4", "2", "2.000"]]


def test_its_models_have_cases():
    for model in position.MODELS:
        assert case_named(f"{model}-surface.woven-default-scratch-s0").model == model
