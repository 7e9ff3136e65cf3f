"""The audit of a folder of images: plan, probe, fit, results."""

import sys

from labelaudit import FunctionPackage

sys.modules[__name__].__class__ = FunctionPackage
