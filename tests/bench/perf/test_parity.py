"""Our side of the comparison with the peer for the same weights; the peer is not needed."""

import pytest
import torch
from torch import nn

from bench.perf.parity.compare import COMPARED_MODELS, NOT_COMPARED, differences, our_side
from bench.perf.parity.peer import MODELS as PEER_MODELS
from bench.perf.parity.sides import Compared, randomize, renamed


def test_both_sides_have_the_same_models():
    assert COMPARED_MODELS.keys() == PEER_MODELS.keys()
    assert not COMPARED_MODELS.keys() & NOT_COMPARED.keys()


@pytest.mark.parametrize("name", COMPARED_MODELS)
def test_side_is_finite_and_names_what_it_compares(name):
    side = our_side(COMPARED_MODELS[name], small=True)
    assert side.weights
    assert side.inputs
    assert all(tensor.isfinite().all() for tensor in side.weights.values())
    whats = [each.what for each in side.compared]
    assert len(set(whats)) == len(whats)
    for each in side.compared:
        assert each.ours.isfinite().all(), each.what
        assert not each.ours.numel() or each.ours.std(correction=0) > 0 or each.ours.numel() == 1


def test_names_are_mapped_by_the_longest_prefix():
    state = {"a.0.weight": torch.ones(1), "a.weight": torch.zeros(1)}
    assert renamed(state, {"a.": "b.", "a.0.": "c."}).keys() == {"c.weight", "b.weight"}
    with pytest.raises(ValueError, match="No prefix"):
        renamed(state, {"a.0.": "c."})
    with pytest.raises(ValueError, match="Two of our tensors"):
        renamed(state, {"a.": "b.", "a.0.": "b."})


def test_difference_is_relative_to_the_largest_and_leaves_out_the_border():
    theirs = torch.full((1, 4, 4), 2.0)
    ours = theirs.clone()
    ours[0, 0, 0], ours[0, 1, 1] = 7.0, 3.0
    assert differences(Compared("map", ours), theirs) == (16, 5.0, 2.5)
    assert differences(Compared("map", ours, margin=1), theirs) == (4, 1.0, 0.5)
    with pytest.raises(ValueError, match="disagree on 'map'"):
        differences(Compared("map", ours), theirs[..., 1:])


def test_normalizations_are_no_identities():
    module = nn.Sequential(nn.BatchNorm2d(8), nn.LayerNorm(8))
    randomize(module)
    assert all(tensor.float().std() > 0 for tensor in (module[0].running_var, module[1].weight))
