"""Measure the error rates of made-up annotators: an audit's, Dawid and Skene's, and the disagreement with the majority.

    python tests/benchmarks/annotators.py photos OUT --most 3 --seed 0

PHOTOS has class folders, whose labels count as the truth. Five annotators differ in skill and habit: a share of errors
that are spread evenly, and classes that they confuse. Each image is seen by one to ``--most`` of them. OUT gets
votes.csv and the run folder. Equal arguments give equal votes.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

import labelaudit
from labelaudit.data.labels_file import Vote, majority

Array = npt.NDArray[Any]

SKILLS = {
    "careful": (0.02, ()),
    "twins": (0.05, ((0, 1, 0.3), (1, 0, 0.2))),
    "hasty": (0.12, ()),
    "stubborn": (0.03, ((2, 3, 0.4), (4, 5, 0.4))),
    "worst": (0.25, ((6, 7, 0.3),)),
}
"""Of each annotator, the share of errors that are spread evenly; and habits: places of two classes in a seeded order,
and the share of the first that is called the second."""


def draw_votes(paths: list[str], most: int, generator: np.random.Generator) -> tuple[list[Vote], dict[str, float]]:
    """Return the votes of the annotators, and the true error rate of each."""
    classes = sorted({path.split("/")[0] for path in paths})
    order = generator.permutation(classes).tolist()
    names, busy = list(SKILLS), generator.dirichlet(np.full(len(SKILLS), 5.0))
    votes = []
    for path in paths:
        truth = path.split("/")[0]
        for annotator in generator.choice(names, generator.integers(1, most + 1), replace=False, p=busy).tolist():
            error, habits = SKILLS[annotator]
            label, chance = truth, generator.random()
            for one, other, share in habits:
                if order[one] == truth and chance < share:
                    label = order[other]
            if label == truth and generator.random() < error:
                label = generator.choice([name for name in classes if name != truth])
            votes.append(Vote(path, annotator, str(label)))
    wrong = {
        name: [vote.label != vote.path.split("/")[0] for vote in votes if vote.annotator == name] for name in names
    }
    return votes, {name: float(np.mean(each)) for name, each in wrong.items()}


def dawid_skene(votes: list[Vote], steps: int = 100) -> dict[str, float]:
    """Return each annotator's error rate by Dawid and Skene's model (1979), from the labels alone."""
    index = [{name: number for number, name in enumerate(sorted(set(each)))} for each in zip(*votes, strict=True)]
    sample_V, annotator_V, label_V = (np.array([index[place][vote[place]] for vote in votes]) for place in range(3))
    paths, annotators, classes = map(len, index)
    p_NK = np.zeros((paths, classes))
    np.add.at(p_NK, (sample_V, label_V), 1.0)
    p_NK /= p_NK.sum(axis=1, keepdims=True)
    for _ in range(steps):
        t_AKY = np.full((annotators, classes, classes), 0.01)
        np.add.at(t_AKY.transpose(0, 2, 1), (annotator_V, label_V), p_NK[sample_V])
        t_AKY /= t_AKY.sum(axis=2, keepdims=True)
        log_NK = np.tile(np.log(p_NK.mean(axis=0)), (paths, 1))
        np.add.at(log_NK, sample_V, np.log(t_AKY[annotator_V, :, label_V]))
        p_NK = np.exp(log_NK - np.logaddexp.reduce(log_NK, axis=1, keepdims=True))
    wrong_V = 1.0 - p_NK[sample_V, label_V]
    return {name: float(wrong_V[annotator_V == number].mean()) for name, number in index[1].items()}


def measure(
    data: Path,
    out: Path,
    most: Annotated[int, typer.Option(help="Most annotators of an image.")] = 3,
    seed: int = 0,
    images: Annotated[int, typer.Option(help="So many images; 0: all.")] = 0,
    embeddings: Annotated[Path | None, typer.Option(help="Audit by these embeddings.")] = None,
) -> None:
    """Draw votes, audit them, and print each annotator's error rate by every method."""
    generator = np.random.default_rng([seed, most])
    paths = sorted(file.relative_to(data).as_posix() for file in data.glob("*/*"))
    if images:
        paths = sorted(generator.permutation(paths)[:images].tolist())
    votes, truth = draw_votes(paths, most, generator)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "votes.csv", "w", newline="") as file:
        csv.writer(file).writerows([Vote._fields, *votes])
    label_of, ties = majority(votes)
    audit = labelaudit.audit(data, run=out / "run", labels_file=out / "votes.csv", embeddings=embeddings)
    assert audit.annotators is not None
    wrong = np.mean([label != path.split("/")[0] for path, label in label_of.items()])
    print(f"{len(votes):,} votes on {len(label_of):,} images, {ties:,} ties; the majority is wrong on {wrong:.1%}")
    print("annotator  labels  truth  majority  dawid-skene  audit  [low, high]")
    by_counts = dawid_skene(votes)
    for row in audit.annotators.annotators:
        mine = [vote.label != label_of[vote.path] for vote in votes if vote.annotator == row.name]
        assert row.error_rate is not None
        assert row.error_rate_interval is not None
        low, high = row.error_rate_interval
        print(
            f"{row.name:9}  {row.labels:6,}  {truth[row.name]:.3f}     {np.mean(mine):.3f}        "
            f"{by_counts[row.name]:.3f}  {row.error_rate:.3f}  [{low:.3f}, {high:.3f}]"
        )


if __name__ == "__main__":
    typer.run(measure)
