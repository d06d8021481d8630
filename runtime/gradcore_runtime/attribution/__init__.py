# SPDX-License-Identifier: Apache-2.0
"""Attribution methods: why a network says what it says, with NumPy alone, on a board and on any back end.

Every method is made of single runs of the network (``Request``). Names, parameters and defaults are those of Captum 0.9, whose class each
entry of ``METHODS`` names; what is computed is the same, up to the number formats of the core.
"""

from .attribute import attribute, keeps
from .case import Aim
from .gradients import stretched
from .methods import METHODS, Method, check_method, rules

__all__ = ["METHODS", "Aim", "Method", "attribute", "check_method", "keeps", "rules", "stretched"]
