"""From recorded losses to verdicts: no GPU, no pictures; again, with other settings, in seconds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from labelaudit.audit.advise import Advice, PriorityWatch, advise, choose_watched
from labelaudit.audit.model import pilot_course, read_catalogue, read_curves, recorded_course
from labelaudit.data.catalogue import Catalogue
from labelaudit.detect.constants import FLAG_ABOVE
from labelaudit.detect.curves import CurveStatistics
from labelaudit.detect.estimators import Estimate
from labelaudit.detect.evidence import Evidence, gather
from labelaudit.detect.kinds import Kinds, tell_kinds
from labelaudit.detect.verdicts import FitSettings, Power, Verdicts, judge
from labelaudit.errors import RunError
from labelaudit.names import CONTROL_KINDS, KINDS, EstimatorName, StatisticName
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.files import read_json, write_json
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import (
    suspicious_csv,
    unreadable_rows,
    write_corrupted,
    write_suspicious,
    write_unreadable,
    write_weights,
)
from labelaudit.run.shape import (
    Shape,
    count,
    either,
    list_of,
    misfits,
    nothing,
    number,
    one_of,
    record,
    share,
    text,
    values_of,
)
from labelaudit.run.tables import read_controls, read_pictures, write_scores

_interval = list_of(share, length=2)
_counts = record(**dict.fromkeys(KINDS, count))

NOISE: dict[str, Shape] = {
    "noise_rate": either(nothing, share),
    "noise_rate_interval": either(nothing, _interval),
    "suspicious": count,
    "maybe_flag_above": share,
    "maybe_samples": count,
    "readable": count,
    "epochs": count,
    "fit": record(rank_by=one_of(get_args(StatisticName)), estimator=one_of(get_args(EstimatorName))),
    "estimators": values_of(
        record(
            rank_by=text,
            noise_rate=share,
            suspicious=count,
            maybe_by_kind=values_of(record(noise_rate=share, interval=_interval)),
        )
    ),
    "classes": list_of(record(**{"class": text}, samples=count, noise_rate=share, suspicious=count)),
    "confusion": list_of(record(given=text, suggested=text, count=count)),
    "maybe_controls": either(nothing, values_of(count)),
    "power": record(
        kinds=list_of(record(**{"class": either(nothing, text)}, kind=text, planted=count, found=count)),
        review=list_of(record(top=count, caught=number)),
    ),
    "maybe_unreadable": count,
    "warnings": list_of(text),
    "maybe_left_out": list_of(record(reason=text, suffix=text, files=count, example=text)),
    "maybe_kinds": either(
        nothing,
        record(
            samples=_counts,
            suspicious=_counts,
            corrupted_rate=either(nothing, share),
            planted=list_of(record(planted=text, expected=text, count=count, called=values_of(count))),
        ),
    ),
    "maybe_advice": either(
        nothing,
        record(
            base_rate=share,
            selectors=list_of(record(selector=text, selectivity=text, noise_share=number)),
            safe=text,
        ),
    ),
}


def kinds_entry(kinds: Kinds, flagged_N: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """The entry ``kinds``: how many of each there are, and what planted controls are called."""
    seen_N = np.isfinite(kinds.p_corrupted_N)
    return {
        "samples": {kind: int(kinds.of(kind).sum()) for kind in KINDS},
        "suspicious": {kind: int((kinds.of(kind) & flagged_N).sum()) for kind in KINDS},
        "corrupted_rate": float(kinds.p_corrupted_N[seen_N].mean()) if seen_N.any() else None,
        "ambiguous_below": kinds.ambiguous_below,
        "planted": [
            {"planted": row.planted, "expected": row.expected, "count": row.count, "called": dict(row.called)}
            for row in kinds.matrix
        ],
    }


def advice_entry(advice: Advice) -> dict[str, Any]:
    """The entry ``advice``: how much noise each selector would back-propagate, and which is safe."""
    return {
        "base_rate": advice.base_rate,
        "selectors": [
            {"selector": row.selector, "selectivity": row.selectivity, "noise_share": row.noise_share}
            for row in advice.selected
        ],
        "safe": advice.safe,
    }


def noise_probability(verdicts: Verdicts, kinds: Kinds) -> npt.NDArray[np.float64]:
    """P(the label is wrong or the picture corrupted), taken as independent; 0 without a record: [N]."""
    wrong_N = np.nan_to_num(verdicts.p_mislabeled_N)
    corrupted_N = np.nan_to_num(kinds.p_corrupted_N)
    noise_N: npt.NDArray[np.float64] = 1.0 - (1.0 - wrong_N) * (1.0 - corrupted_N)
    return noise_N


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The outcome of a fit: what the run folder's score files hold."""

    catalogue: Catalogue
    statistics: CurveStatistics
    verdicts: Verdicts
    kinds: Kinds
    noise: dict[str, Any]

    def csv(self, *, top: int | None = None) -> str:
        """The ranked list; see `labelaudit.run.lists.suspicious_csv`."""
        return suspicious_csv(self.catalogue, self.statistics, self.verdicts, self.kinds, top=top)


def fit(run: RunFolder, settings: FitSettings | None = None, reporter: Reporter = QUIET) -> Fitted:
    """Judge every sample of a run from its recorded losses, and write the run folder's score files.

    Args:
        run: A run whose probe is trained.
        settings: What to fit.
        reporter: Told about the progress.

    Raises:
        RunError: the run is unfinished, damaged or in use.
        StorageError: the files cannot be written.
    """
    run.read_description()  # writing() would make a folder where there is no run
    with run.writing():
        fitted = compute(run, settings or FitSettings(), reporter)
        write_scores(run.scores, fitted.catalogue, fitted.statistics, fitted.verdicts, fitted.kinds)
        write_weights(run.weights_csv, run.weights_npy, fitted.catalogue, fitted.verdicts.weight_N)
        write_suspicious(run.suspicious, fitted.catalogue, fitted.statistics, fitted.verdicts, fitted.kinds)
        write_corrupted(run.corrupted, fitted.catalogue, fitted.verdicts, fitted.kinds)
        write_unreadable(run.unreadable, fitted.catalogue)
        # Last: whoever finds this file finds the others too.
        write_json(run.noise, fitted.noise)
    return fitted


def compute(run: RunFolder, settings: FitSettings, reporter: Reporter = QUIET) -> Fitted:
    """The same without writing anything."""
    course, catalogue = recorded_course(run), read_catalogue(run)
    controls, classes = read_controls(run.samples), len(catalogue.classes)
    pictures = read_pictures(run.pictures, len(catalogue))
    watched_S = choose_watched(catalogue.readable_N, np.random.default_rng([0, 0]))
    watch = PriorityWatch(watched_S, classes)
    if controls is None:
        curves = read_curves(run, course, catalogue.label_N, classes, watch=watch, reporter=reporter)
        evidence = gather(catalogue.label_N, curves)
    else:
        counted_N = ~controls.planted_N
        evidence = gather(
            catalogue.label_N,
            read_curves(run, course, controls.label_N, classes, counted_N=counted_N, watch=watch, reporter=reporter),
            controls=controls,
            pilot=read_curves(run.pilot, pilot_course(run), catalogue.label_N, classes, counted_N=counted_N),
        )
    verdicts = judge(evidence, settings)
    flagged_N = verdicts.p_mislabeled_N > FLAG_ABOVE
    readable = zip(catalogue.sha256, catalogue.readable_N, strict=True)
    digests = [digest if is_readable else "" for digest, is_readable in readable]
    kinds = tell_kinds(evidence, flagged_N, settings.rank_by, digests, pictures, np.random.default_rng([0, 1]))
    noise = _noise(catalogue, evidence, verdicts, settings)
    noise["kinds"] = kinds_entry(kinds, flagged_N)
    noise["advice"] = advice_entry(advise(noise_probability(verdicts, kinds)[watched_S], watch.chances()))
    return Fitted(catalogue=catalogue, statistics=evidence.statistics, verdicts=verdicts, kinds=kinds, noise=noise)


def is_fitted(run: RunFolder, settings: FitSettings | None) -> bool:
    """True when the run folder's score files are there, and of these settings (or of any, when None)."""
    if not run.noise.exists():
        return False
    return settings is None or read_noise(run)["fit"] == asdict(settings)


def read_noise(run: RunFolder) -> dict[str, Any]:
    """The content of noise.json.

    Raises:
        RunError: the run was not fitted, or the file is damaged.
    """
    if not run.noise.exists():
        raise RunError(f"{run.root} has no verdicts yet", fix=f"run labelaudit fit {run.root}")
    try:
        noise = read_json(run.noise)
    except RunError as error:
        raise RunError(error.what, fix=f"run labelaudit fit {run.root}") from error
    wrong = misfits(noise, NOISE)
    if wrong:
        raise RunError(
            f"{run.noise} is damaged ({', '.join(wrong)} missing or not as labelaudit writes it)",
            fix=f"run labelaudit fit {run.root}",
        )
    return noise


def _noise(catalogue: Catalogue, evidence: Evidence, verdicts: Verdicts, settings: FitSettings) -> dict[str, Any]:
    return {
        "noise_rate": verdicts.noise_rate,
        "noise_rate_interval": None if verdicts.interval is None else list(verdicts.interval),
        "suspicious": verdicts.flagged,
        "flag_above": FLAG_ABOVE,
        "samples": len(catalogue),
        "readable": int(catalogue.readable_N.sum()),
        "epochs": evidence.statistics.epochs,
        "fit": asdict(settings),
        "estimators": {name: _estimate(estimate) for name, estimate in verdicts.estimates.items()},
        "classes": _class_rates(catalogue, verdicts),
        "confusion": _confusion(catalogue, evidence.statistics, verdicts),
        "controls": _controls(evidence),
        "power": _power(catalogue, verdicts.power),
        "warnings": [*catalogue.warnings, *verdicts.warnings],
        "left_out": [asdict(row) for row in catalogue.left_out],
        "unreadable": sum(1 for _ in unreadable_rows(catalogue)),
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    values: dict[str, Any] = {
        "rank_by": estimate.rank_by,
        "noise_rate": estimate.noise_rate,
        "suspicious": int((estimate.p_mislabeled_N > FLAG_ABOVE).sum()),
    }
    mixture = estimate.mixture
    if mixture is not None:
        values["mixture"] = {
            "weight": mixture.weight_2.tolist(),
            "mean": mixture.mean_2.tolist(),
            "std": mixture.std_2.tolist(),
            "separation": mixture.separation,
            "modes": mixture.modes,
            "log_likelihood": mixture.log_likelihood,
        }
    if estimate.tails:
        values["by_kind"] = {
            kind: {"noise_rate": tail.rate, "interval": [tail.low, tail.high]} for kind, tail in estimate.tails.items()
        }
    return values


def _controls(evidence: Evidence) -> dict[str, int] | None:
    controls = evidence.controls
    return None if controls is None else {kind: int(controls.of_kind(kind).sum()) for kind in CONTROL_KINDS}


def _power(catalogue: Catalogue, power: Power) -> dict[str, Any]:
    return {
        "kinds": [
            {
                "kind": found.kind,
                "class": None if found.label is None else catalogue.classes[found.label],
                "planted": found.planted,
                "found": found.found,
            }
            for found in power.found
        ],
        "review": [{"top": review.top, "caught": review.caught} for review in power.reviews],
    }


def _class_rates(catalogue: Catalogue, verdicts: Verdicts) -> list[dict[str, Any]]:
    used_N = np.isfinite(verdicts.p_mislabeled_N)
    label_U, p_U, raw_U = (
        array[used_N] for array in (catalogue.label_N, verdicts.p_mislabeled_N, verdicts.raw_posterior_N)
    )
    classes = len(catalogue.classes)
    count_K = np.bincount(label_U, minlength=classes)
    rate_K = np.bincount(label_U, weights=raw_U, minlength=classes) / np.maximum(count_K, 1)
    flagged_K = np.bincount(label_U, weights=p_U > FLAG_ABOVE, minlength=classes)
    return [
        {"class": name, "samples": int(count_K[k]), "noise_rate": float(rate_K[k]), "suspicious": int(flagged_K[k])}
        for k, name in enumerate(catalogue.classes)
        if count_K[k]
    ]


def _confusion(catalogue: Catalogue, statistics: CurveStatistics, verdicts: Verdicts) -> list[dict[str, Any]]:
    """Counts of (given, suggested) among the suspicious, the most frequent first."""
    flagged = verdicts.order[: verdicts.flagged]
    pairs = np.stack([catalogue.label_N[flagged], statistics.beliefs.alternative_N[flagged]], axis=1)
    unique, count = np.unique(pairs, axis=0, return_counts=True)
    return [
        {"given": catalogue.classes[unique[i, 0]], "suggested": catalogue.classes[unique[i, 1]], "count": int(count[i])}
        for i in np.argsort(-count, kind="stable")
    ]
