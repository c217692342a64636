"""Random numbers against SplitMix64 itself, the distributions they claim, and each other."""

import numpy as np
import pytest
import torch
from scipy import stats

from datasets_lib.augment import random_streams
from datasets_lib.augment.mixing import beta
from datasets_lib.augment.random_streams import GOLDEN, RandomStreams, splitmix64

MASK = (1 << 64) - 1


def streams(count=20_000, **fields):
    return RandomStreams(torch.arange(count), **{"seed": 5, "epoch": 2, **fields})


def test_splitmix64_gives_the_published_sequence():
    # The first outputs for seed 1234567 that Vigna's reference splitmix64.c prints.
    wanted = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    states = [(1234567 + step * GOLDEN) & MASK for step in range(5)]
    signed = torch.from_numpy(np.array(states, np.uint64).view(np.int64))
    assert splitmix64(signed).numpy().view(np.uint64).tolist() == wanted


def reference_bits(seed, epoch, key, index, place):
    """The documented hash in Python's own integers."""

    def mix(state):
        mixed = (state + GOLDEN) & MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        return mixed ^ (mixed >> 31)

    state = mix(mix(mix(mix(seed + GOLDEN) ^ epoch) ^ key) + index * GOLDEN)
    return mix(state + place * GOLDEN)


def test_bits_are_the_hash_of_seed_epoch_stream_sample_and_place():
    index = torch.tensor([0, 3, 49_999, 2**40])
    found = RandomStreams(index, seed=223, epoch=7, key=99).bits(2, 3).numpy().view(np.uint64)
    wanted = [
        [[reference_bits(223, 7, 99, i, 3 * row + col) for col in range(3)] for row in range(2)]
        for i in index.tolist()
    ]
    assert found.tolist() == wanted


@pytest.mark.parametrize(
    ("name", "sample", "distribution"),
    [
        ("uniform", lambda d: d.uniform(), stats.uniform),
        ("places", lambda d: streams(2).uniform(20_000)[1], stats.uniform),
        ("range", lambda d: d.uniform(low=-2, high=3), stats.uniform(-2, 5)),
        ("normal", lambda d: d.normal(), stats.norm),
    ],
)
def test_distributions(name, sample, distribution):
    values = sample(streams()).double().numpy()
    assert len(values) == 20_000
    assert stats.kstest(values, distribution.cdf).pvalue > 1e-3


def test_normal_numbers_drawn_in_pieces_are_those_drawn_at_once(monkeypatch):
    whole = streams(3).normal(5, 7)
    monkeypatch.setattr(random_streams, "_AT_ONCE", 24)
    assert torch.equal(streams(3).normal(5, 7), whole)
    # Pieces of a single number: each is the one that its place in the stream says.
    monkeypatch.setattr(random_streams, "_AT_ONCE", 1)
    torch.testing.assert_close(streams(3).normal(5, 7), whole, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 4.0])
def test_beta_is_distributed_as_scipys(alpha):
    # In float32 as ours are: 2 % of Beta(0.2, 0.2) round to 1.
    wanted = stats.beta(alpha, alpha).rvs(100_000, random_state=1).astype(np.float32)
    values = beta(streams(), alpha).numpy()
    assert stats.ks_2samp(values, wanted).pvalue > 1e-3


def test_integers_are_uniform_and_in_range():
    values = streams().integers(9)
    assert values.min() == 0
    assert values.max() == 8
    assert stats.chisquare(torch.bincount(values).numpy()).pvalue > 1e-3


@pytest.mark.parametrize(
    "other",
    [
        streams(seed=6),
        streams(epoch=3),
        streams().fold_in("a"),
        streams().fold_in("a").fold_in("a"),
        streams().fold_in("b"),
        RandomStreams(torch.arange(1, 20_001), seed=5, epoch=2),
    ],
    ids=["seed", "epoch", "stream", "nested", "other stream", "neighbor"],
)
def test_another_seed_epoch_stream_or_sample_has_unrelated_numbers(other):
    first, second = streams().uniform(), other.uniform()
    # Under independence the correlation of 20,000 pairs has a standard deviation of 0.007.
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert not torch.equal(streams().bits(), other.bits())


def test_numbers_do_not_depend_on_the_split_the_order_or_the_step():
    whole = streams(10).uniform(3)
    order = torch.tensor([7, 2, 9])
    assert torch.equal(RandomStreams(order, seed=5, epoch=2, step=4).uniform(3), whole[order])


@pytest.mark.parametrize("rows", [[], [3], [4, 0, 2]])
@pytest.mark.parametrize("draw", ["bits", "uniform", "normal"])
def test_some_rows_have_the_numbers_that_they_have_among_all(rows, draw):
    whole, rows = streams(5), torch.tensor(rows, dtype=torch.int64)
    assert getattr(whole.of(rows), draw)(2, 3).equal(getattr(whole, draw)(2, 3)[rows])


def test_draws_of_the_batch_depend_on_its_step_alone():
    first = RandomStreams(torch.tensor([3, 4]), seed=1, step=2).batch
    same = RandomStreams(torch.tensor([9, 8]), seed=1, step=2).batch
    later = RandomStreams(torch.tensor([3, 4]), seed=1, step=3).batch
    assert torch.equal(first.bits(4), same.bits(4))
    assert first.bits(4).shape == (1, 4)
    assert not torch.equal(first.bits(4), later.bits(4))


def test_permutations_are_uniform():
    rows = [
        tuple(
            RandomStreams(torch.zeros(1, dtype=torch.long), 0, step=s).batch.permutation(3).tolist()
        )
        for s in range(3000)
    ]
    counts = [rows.count(row) for row in sorted(set(rows))]
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


def test_beta_refuses_alpha_zero():
    with pytest.raises(ValueError, match="alpha > 0, found 0"):
        beta(streams(2), 0)


def test_a_step_on_the_device_draws_as_one_on_the_host():
    on_host, on_device = streams(4, step=3).batch, streams(4, step=torch.tensor(3)).batch
    assert torch.equal(on_host.uniform(5), on_device.uniform(5))


@pytest.mark.gpu
def test_bits_are_the_same_on_cuda():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    on_device = RandomStreams(torch.arange(1000, device="cuda"), seed=5, epoch=2)
    assert torch.equal(on_device.bits(7).cpu(), streams(1000).bits(7))
    assert torch.equal(on_device.uniform(7).cpu(), streams(1000).uniform(7))
