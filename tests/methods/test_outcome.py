"""On a task that is learned in two epochs and memorized afterwards, robust methods memorize less than Standard."""

import torch
from torch import nn

from labelaudit.engine.loop import Task, Training
from labelaudit.methods.base import Ingredients
from labelaudit.methods.table import find_method
from tests.engine.helpers import CPU, ignore, image_inputs, loop_settings
from tests.methods.helpers import generator

CLASSES, COUNT = 4, 500


def images(count, seed):
    """Noise around one pattern for each class."""
    pattern_KCHW = torch.randn(CLASSES, 3, 8, 8, generator=generator(1))
    label_N = torch.arange(count) % CLASSES
    noise_NCHW = torch.randn(count, 3, 8, 8, generator=generator(seed))
    return (128 + 28 * pattern_KCHW[label_N] + 45 * noise_NCHW).clamp(0, 255).to(torch.uint8), label_N


def network(seed):
    """Large enough to memorize."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 128), nn.ReLU(), nn.Linear(128, CLASSES))


def error_of(name, **parameters):
    """The error on clean images after training on labels of which 40% are wrong."""
    (pixels_NCHW, truth_N), (test_NCHW, test_label_N) = images(COUNT, seed=0), images(500, seed=9)
    draws = generator(3)
    wrong_N = torch.rand(COUNT, generator=draws) < 0.4
    label_N = torch.where(wrong_N, (truth_N + 1 + torch.randint(0, 3, (COUNT,), generator=draws)) % CLASSES, truth_N)
    # An audit that is wrong about a tenth of the samples.
    believed_N = wrong_N == (torch.rand(COUNT, generator=draws) < 0.1)
    given = {"truth_R": truth_N, "weight_R": torch.where(believed_N, 0.9, 0.2), "batch_size": 50}
    entry = find_method(name)
    settings = entry.parameters(**parameters)
    method = entry.build(Ingredients(label_R=label_N, classes=CLASSES, parameters=settings, **given))
    networks = [network(seed) for seed in range(method.networks)]
    how = loop_settings(epochs=20, batch_size=50, lr=0.02, schedule="linear")
    training = Training(networks, how, CPU, Task(image_inputs(pixels_NCHW), label_N, method))
    list(training.run_epochs(ignore))
    p_NC = training.predict(image_inputs(test_NCHW), networks=1)
    return (p_NC.argmax(dim=1) != test_label_N).double().mean().item()


def test_robust_methods_memorize_less_than_standard_training():
    standard = error_of("standard")
    assert standard > 0.12
    assert error_of("oracle") < 0.02
    assert error_of("elr", strength=7.0) < 0.5 * standard
    assert error_of("co-teaching", noise_rate=0.4, warm_up_epochs=4) < 0.6 * standard
    aul = error_of("aul")
    assert error_of("dividemix") < 0.5 * aul < 0.25 * standard
