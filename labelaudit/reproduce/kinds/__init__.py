"""How well kinds are told apart, measured against the truth: ``labelaudit reproduce kinds``."""

from labelaudit.reproduce.kinds.experiment import KindsOptions, measure_kinds
from labelaudit.reproduce.kinds.spoil import Rates, write_spoiled

__all__ = ["KindsOptions", "Rates", "measure_kinds", "write_spoiled"]
