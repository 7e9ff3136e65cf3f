import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.engine.order import derive_seed, make_generator


def test_seeds_are_the_same_in_every_version():
    assert derive_seed(0, "order") == 3_991_725_939_186_754_870
    assert derive_seed(0, "order", 1) == 4_374_215_849_138_048_446
    assert derive_seed(7, "augment", 12) == 4_982_335_773_243_733_606


def test_generators_are_the_same_in_every_version():
    assert torch.randperm(8, generator=make_generator(0, "order", 0)).tolist() == [5, 1, 7, 0, 3, 6, 2, 4]


def test_seed_purpose_and_epoch_each_make_a_difference():
    seeds = {
        derive_seed(seed, purpose, epoch)
        for seed, purpose, epoch in itertools.product(range(20), ("order", "augment", "method", "network"), range(20))
    }
    assert len(seeds) == 20 * 4 * 20


def test_digits_do_not_run_into_each_other():
    assert derive_seed(1, "order", 12) != derive_seed(11, "order", 2)
    assert derive_seed(1, "order1", 2) != derive_seed(1, "order", 12)


@given(st.integers(), st.text(), st.integers(0))
def test_seeds_fit_what_torch_and_others_take(seed, purpose, epoch):
    value = derive_seed(seed, purpose, epoch)
    assert 0 <= value < 2**63
    torch.Generator().manual_seed(value)


def test_a_generator_starts_afresh_each_time_and_touches_no_global_state():
    before = torch.get_rng_state()
    first = torch.rand(5, generator=make_generator(3, "augment", 2))
    second = torch.rand(5, generator=make_generator(3, "augment", 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, torch.rand(5, generator=make_generator(3, "augment", 3)))
    assert torch.equal(torch.get_rng_state(), before)
