"""Judge the labels of several annotators, and find how often each of them is wrong.

Shapes: V votes, A annotators.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pyarrow as pa

from labelaudit.data.catalogue import Annotations, Catalogue
from labelaudit.detect.annotators import Annotators, Votes, fit_annotators
from labelaudit.detect.confident import Beliefs
from labelaudit.detect.constants import FLAG_ABOVE, LEAST_OF_CLASS
from labelaudit.detect.curves import CurveStatistics
from labelaudit.run.documents import AnnotatorNoise, AnnotatorsNoise, Confused, Disagreement
from labelaudit.text import listed, plural


def judge_votes(
    catalogue: Catalogue, given: Annotations, statistics: CurveStatistics, witness: Beliefs
) -> tuple[pa.Table, AnnotatorsNoise]:
    """Judge every vote by the beliefs of a witness; return the content of annotators.parquet and annotators.json."""
    votes = Votes(*given.numbers(catalogue.classes))
    sharpness = float((statistics.held_out or statistics.transition).sharpness_W[0])
    classes, annotators = len(catalogue.classes), len(given.annotators)
    found = fit_annotators(votes, catalogue.label_N, witness, classes, annotators, sharpness)
    return _table(catalogue, given, found), _noise(catalogue, given, votes, found, statistics)


def _table(catalogue: Catalogue, given: Annotations, found: Annotators) -> pa.Table:
    sample_V, annotator_V, label_V = zip(*given.rows, strict=True)
    table = pa.table(
        {
            "sample": pa.array(sample_V, pa.int32()),
            "path": [catalogue.paths[sample] for sample in sample_V],
            "annotator": annotator_V,
            "label": label_V,
            "suggested_label": pa.array(catalogue.classes, pa.string()).take(
                pa.array(found.true_V, mask=found.true_V < 0)
            ),
            "p_wrong": pa.array(found.p_wrong_V, mask=np.isnan(found.p_wrong_V)),
        }
    )
    return table.replace_schema_metadata({"p_wrong": "high = suspicious"})


def _noise(
    catalogue: Catalogue, given: Annotations, votes: Votes, found: Annotators, statistics: CurveStatistics
) -> AnnotatorsNoise:
    count_A = np.bincount(votes.annotator_V, minlength=len(given.annotators))
    confusion: defaultdict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
    for v in np.flatnonzero(found.p_wrong_V > FLAG_ABOVE).tolist():
        pair = given.rows[v][2], catalogue.classes[found.true_V[v]]
        confusion[int(votes.annotator_V[v])][pair] += 1
    rows = [
        AnnotatorNoise(
            name=name,
            labels=int(count_A[a]),
            error_rate=None if np.isnan(found.rate_A[a]) else float(found.rate_A[a]),
            error_rate_interval=None if np.isnan(found.rate_A[a]) else (float(found.low_A[a]), float(found.high_A[a])),
            suspicious=confusion[a].total(),
            confusion=tuple(
                Confused(given=label, suggested=suggested, count=count)
                for (label, suggested), count in confusion[a].most_common()
            ),
        )
        for a, name in enumerate(given.annotators)
    ]
    warnings = []
    if few := [row.name for row in rows if row.error_rate is None]:
        who = plural(len(few), "annotator has", "annotators have")
        names = listed([repr(name) for name in few], 3)
        warnings.append(f"{who} fewer than {LEAST_OF_CLASS} labels, too few for a rate of their own: {names}.")
    if statistics.held_out is None:
        warnings.append(
            "The probe was trained on the labels that it judges, so that it agrees with the annotators too often, and "
            "their error rates are too low. Audit with heads (--probe both) for better ones."
        )
    return AnnotatorsNoise(
        labels=len(given.rows),
        images=len({sample for sample, *_ in given.rows}),
        annotators=tuple(sorted(rows, key=lambda row: -1.0 if row.error_rate is None else row.error_rate)[::-1]),
        pairs=_pairs(given),
        warnings=tuple(warnings),
    )


def _pairs(given: Annotations) -> tuple[Disagreement, ...]:
    of_sample: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for sample, annotator, label in given.rows:
        of_sample[sample].append((annotator, label))
    shared: Counter[tuple[str, str]] = Counter()
    different: Counter[tuple[str, str]] = Counter()
    for votes in of_sample.values():
        for (one, label), (other, other_label) in combinations(votes, 2):
            shared[one, other] += 1
            different[one, other] += label != other_label
    pairs = [
        Disagreement(annotators=pair, images=images, different=different[pair])
        for pair, images in shared.items()
        if images >= LEAST_OF_CLASS
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair.different / pair.images, pair.annotators)))
