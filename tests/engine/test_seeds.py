import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.engine.order import derive_seed, make_generator


def test_seeds_and_generators_are_the_same_in_every_version():
    assert derive_seed(0, "order") == 3_991_725_939_186_754_870
    assert derive_seed(0, "order", 1) == 4_374_215_849_138_048_446
    assert derive_seed(7, "augment", 12) == 4_982_335_773_243_733_606
    before = torch.get_rng_state()
    assert torch.randperm(8, generator=make_generator(0, "order", 0)).tolist() == [5, 1, 7, 0, 3, 6, 2, 4]
    assert torch.equal(torch.get_rng_state(), before)


def test_seed_purpose_and_epoch_each_make_a_difference():
    purposes = ("order", "order1", "augment", "method", "network")
    seeds = {derive_seed(*key) for key in itertools.product(range(20), purposes, range(20))}
    assert len(seeds) == 20 * 5 * 20


@given(st.integers(), st.text(), st.integers(0))
def test_seeds_fit_what_torch_and_others_take(seed, purpose, epoch):
    value = derive_seed(seed, purpose, epoch)
    assert 0 <= value < 2**63
    torch.Generator().manual_seed(value)
