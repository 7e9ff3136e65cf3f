import copy

import torch

from labelaudit.engine.inputs import Augment
from labelaudit.engine.loop import Training
from labelaudit.methods.base import Mixing
from labelaudit.methods.standard import Standard
from tests.engine.helpers import CPU, ignore, image_inputs, linear_network, loop_settings, small_task, train


class Mixer(Standard):
    """Blends each sample with the next one of the batch, and keeps what it guessed and was shown."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.guesses, self.seen, self.rows = factor, [], [], []

    def mix(self, batch, guess, clock, generator):
        count = len(batch.row_B)
        self.rows.append(batch.row_B)
        self.guesses.append(guess())
        return Mixing(partner_B=(torch.arange(count) + 1) % count, factor_B=torch.full((count,), self.factor))

    def teach(self, batch, logits, clock, generator):
        self.seen.append(logits[0])
        return super().teach(batch, logits, clock, generator)


ONE_EPOCH = loop_settings(epochs=1, batch_size=14)


def test_a_linear_network_sees_the_blend():
    network = linear_network()
    before = copy.deepcopy(network)
    method = Mixer(0.75)
    train(network, ONE_EPOCH, method)
    x = image_inputs(small_task()[0]).batch(method.rows[0], None)
    own_BC = before(x).detach()
    torch.testing.assert_close(method.seen[0], 0.75 * own_BC + 0.25 * own_BC.roll(-1, dims=0))
    torch.testing.assert_close(method.guesses[0][0], own_BC)


def test_partners_are_seen_by_the_views_of_their_own_places():
    # With factor 0 every sample is its partner, whose augmented view the guess was made of.
    method = Mixer(0.0)
    train(linear_network(), ONE_EPOCH, method, augment=Augment())
    torch.testing.assert_close(method.seen[0], method.guesses[0][0].roll(-1, dims=0))


def test_sample_weights_are_blended_alike():
    # Of two samples blended half and half, each has half of the one weight that there is: they count alike.
    pixels_NCHW, label_N = small_task(2)
    outcome = {}
    for name, sample_weight_N in {"none": None, "one-sided": torch.tensor([1.0, 0.0])}.items():
        training = Training([linear_network()], loop_settings(epochs=1), CPU)
        training.run_epoch(image_inputs(pixels_NCHW), label_N, Mixer(0.5), ignore, sample_weight_N=sample_weight_N)
        outcome[name] = training.networks[0][1].weight
    torch.testing.assert_close(outcome["none"], outcome["one-sided"])
