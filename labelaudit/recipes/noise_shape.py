"""The form of noise.json: what everything that reads it relies on."""

from __future__ import annotations

from typing import get_args

from labelaudit.names import KINDS, EstimatorName, StatisticName
from labelaudit.run.shape import Shape, count, either, list_of, nothing, number, one_of, record, share, text, values_of

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
