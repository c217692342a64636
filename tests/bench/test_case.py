"""A case's id, and what it is made of."""

from dataclasses import replace

import pytest
from case_names import case_named

from bench.case import Case

CASE = Case("rd_convnext", "baseline", "mvtec", "bottle", "default", True, 0)


@pytest.mark.parametrize(
    ("changes", "case_id"),
    [
        ({}, "rd_convnext-mvtec.bottle-default-pretrained-s0"),
        ({"recipe": "same"}, "rd_convnext.same-mvtec.bottle-default-pretrained-s0"),
        ({"category": None, "dataset": "digits"}, "rd_convnext-digits-default-pretrained-s0"),
        ({"pretrained": False, "replicate": 3}, "rd_convnext-mvtec.bottle-default-scratch-s3"),
        ({"shots": 4}, "rd_convnext-mvtec.bottle-default-pretrained-4shot-s0"),
        ({"shots": 1, "category": "all"}, "rd_convnext-mvtec.all-default-pretrained-1shot-s0"),
    ],
)
def test_id_holds_every_axis(changes, case_id):
    case = replace(CASE, **changes)
    assert case.id == case_id
    assert case.configuration == case_id.rpartition("-")[0]
    assert case_named(case_id) == case
