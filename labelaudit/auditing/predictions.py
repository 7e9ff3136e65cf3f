"""Audit by predictions that the user gives: record them as the only epoch of a training that is not made.

Loads no torch. The out-of-fold probability of class k is p_k, so with the given label y and the most probable other
class j, the loss is −log p_y and the margin log p_y − log p_j, as held-out heads would have recorded them. Of the other
classes only j is recorded; the rest, 1 − p_y − p_j, counts as spread evenly (see `labelaudit.detect.curves`).

Shapes: R readable samples, K classes.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from labelaudit.auditing import begin
from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.own import read_predictions
from labelaudit.data.catalogue import trainable
from labelaudit.data.looks import look_at, look_size, table_of_looks
from labelaudit.data.pixels import PixelFormat
from labelaudit.detect import Float32Array, IntArray
from labelaudit.engine.heads import observe
from labelaudit.errors import RunError, UsageError
from labelaudit.progress import Reporter
from labelaudit.run import documents, losses
from labelaudit.run.files import file_digest
from labelaudit.run.layout import RunFolder

_LEAST = float(np.finfo(np.float32).tiny)
"""A probability that is 0 counts as the smallest that is not: a loss of 87."""


def is_of_predictions(run: RunFolder) -> bool:
    """Return whether the audit in a folder is one of predictions."""
    return run.exists and documents.read_description(run).settings.get("kind") == documents.PREDICTIONS


def record_predictions(data: Data, given: RunFolder | None, options: TrainingOptions, reporter: Reporter) -> RunFolder:
    """Record the user's predictions for a folder, or find them recorded; return the run folder.

    Without a ``given`` one, it is found as `labelaudit.auditing.probe.train_probe` does; errors are those of it, and a
    UsageError for options of a training.
    """
    _check(options)

    def require(known_run: RunFolder, known: documents.Description) -> bool:
        """Return whether a run is finished; raise a RunError for one by a training, or by other predictions."""
        there, file = known.settings, options.predictions
        if there.get("kind") != documents.PREDICTIONS:
            what = f"{known_run.root} is an audit by a training (kind is {there.get('kind')} there)"
            raise RunError(what, fix="leave --predictions out, or give another --run")
        if file is not None and there.get("weights") != (digest := file_digest(file)):
            what = f"{known_run.root} was started with other predictions: weights is {there.get('weights')} there"
            raise RunError(f"{what}, {digest} asked", fix="leave --predictions out to read it, or give another --run")
        return known.status == documents.TRAINED

    run, catalogue, relabelings = begin.find_run(data, given, require, reporter)
    if begin.begun(run, catalogue, require):
        reporter.say(f"The predictions are in {run.root} already")
        begin.remember_place(data, run, reporter)
        return run
    if options.predictions is None:
        what = f"{data.root} was audited with --predictions FILE, which is needed to go on in {run.root}"
        raise RunError(what, fix="give the file, or another --run")
    probability_NK = read_predictions(options.predictions, catalogue, reporter)
    settings = {"kind": documents.PREDICTIONS, "weights": file_digest(options.predictions), "epochs": 1}
    with run.writing("--run"):
        if begin.begun(run, catalogue, require):  # another process has recorded them meanwhile
            return run
        begin.clear(run, follows=given is None)
        reporter.say(f"Probe: none, but the predictions in {options.predictions}")
        looked = look_at(catalogue, PixelFormat(size=look_size(catalogue), channels=3), reporter)
        catalogue = trainable(catalogue.set_aside(looked.failures))
        begin.require_unmoved(data, catalogue, relabelings, reporter)
        sample_R = np.flatnonzero(catalogue.used_N).astype(np.int32)
        record = recorded(probability_NK.take(sample_R), catalogue.label_N[sample_R], sample_R)
        agreeing = float((record.margin_R > 0).mean())
        reporter.say(f"The predictions agree with {agreeing:.1%} of the labels")
        begin.describe(data, run, catalogue, recording=losses.GIVEN, settings=settings)
        look_of = dict(zip(looked.sample_R.tolist(), looked.looks, strict=True))
        images = table_of_looks(sample_R, [look_of[sample] for sample in sample_R.tolist()])
        begin.write_images(run, images, None, reporter)
        losses.discard_from(run.losses, 0)
        losses.write_epoch(run.losses, record, recording=losses.GIVEN)
        begin.finish(run)
    return run


def _check(options: TrainingOptions) -> None:
    """Raise UsageError for options that decide how something is trained."""
    usual = TrainingOptions()
    asked = replace(options.deciding, predictions=None)
    if other := [each.name for each in fields(asked) if getattr(asked, each.name) != getattr(usual, each.name)]:
        option = f"--{other[0].replace('_', '-')}"
        what = f"an audit of predictions trains nothing, and {option} is about a training"
        raise UsageError(what, fix=f"leave {option} out, or give another --run without --predictions")


def recorded(probability_RK: Float32Array, label_R: IntArray, sample_R: IntArray) -> losses.EpochLosses:
    """Return what is recorded of probabilities, whose logarithms are taken for logits."""
    p_RK = probability_RK / probability_RK.sum(axis=1, keepdims=True)
    return losses.EpochLosses.of(0, sample_R, observe(np.log(np.maximum(p_RK, _LEAST)), label_R))
