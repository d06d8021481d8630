# SPDX-License-Identifier: Apache-2.0
"""Attribution methods, which are those of the runtime; the table of them for people; and measures of maps."""

from gradcore.runtime.attribution import METHODS, Aim, Method, attribute, check_method, keeps, rules, stretched

__all__ = ["METHODS", "Aim", "Method", "attribute", "check_method", "keeps", "rules", "stretched"]
