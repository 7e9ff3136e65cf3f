"""Robust retraining on a noisy folder."""

import sys

from labelaudit import FunctionPackage

sys.modules[__name__].__class__ = FunctionPackage
