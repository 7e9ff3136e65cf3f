"""How well an audit finds wrong labels, measured against the truth: ``labelaudit reproduce detection``."""

from labelaudit.reproduce.detection.audits import measure
from labelaudit.reproduce.detection.compare import compare
from labelaudit.reproduce.detection.labels import write_noisy_labels, write_truth

__all__ = ["compare", "measure", "write_noisy_labels", "write_truth"]
