"""Case ids: one string is pytest id, store key and re-run command, so it must survive a round."""

import string

import pytest
from case_names import case_named
from hypothesis import given
from hypothesis import strategies as st

from bench.case import Case

VALUE = st.text(string.ascii_lowercase + string.digits + "_", min_size=1, max_size=12)


def test_id_reads_as_the_documentation_says():
    case = Case("rd_backbone", "rd_convnext", "mvtec", "bottle", "default", True, 0)
    assert case.id == "rd_convnext-mvtec.bottle-default-pretrained-s0"
    assert case.configuration == "rd_convnext-mvtec.bottle-default-pretrained"


def test_arm_is_the_models_suffix():
    case = Case("rd_backbone", "rd_resnet50.same", "mvtec", "bottle", "default", False, 2)
    assert (case.model, case.recipe) == ("rd_resnet50", "same")
    assert case.id == "rd_resnet50.same-mvtec.bottle-default-scratch-s2"


@given(VALUE, VALUE, st.none() | VALUE, VALUE, st.booleans(), st.integers(0, 999))
def test_ids_and_cases_are_one_to_one(model, dataset, category, augmentation, pretrained, seed):
    case = Case("study", model, dataset, category, augmentation, pretrained, seed)
    assert case_named(case.id) == case


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rd_convnext",
        "rd-mvtec.bottle-default-pretrained",
        "rd-mvtec.bottle-default-frozen-s0",
        "rd-mvtec.bottle-default-pretrained-s",
        "rd-mvtec.bottle-default-pretrained-0x",
        "RD-mvtec.bottle-default-pretrained-s0",
        "rd-mvtec bottle-default-pretrained-s0",
    ],
)
def test_malformed_ids_are_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a case id: wanted model-dataset"):
        case_named(text)
