# SPDX-License-Identifier: Apache-2.0
"""Numbers as a report writes them."""

from __future__ import annotations

import math


def count(value: float | None) -> str:
    """A whole number with its thousands apart; a dash for None."""
    return "–" if value is None else f"{value:,.0f}"


def percent(part: float | None, digits: int = 0) -> str:
    return "–" if part is None or not math.isfinite(part) else f"{100 * part:.{digits}f}\u00a0%"


def difference(part: float | None) -> str:
    """A part, with its sign."""
    return "–" if part is None else f"{round(100 * part, 1) + 0.0:+.1f}\u00a0%"


def real(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}" if math.isfinite(value) else "not finite"


def likeness(r: float | None) -> str:
    """Pearson's r with as many digits as tell it from 1."""
    if r is None:
        return "–"
    if r > 1 - 1e-6:
        return "> 0.999999"
    digits = 3 if abs(r) < 0.999 else min(6, 1 - math.floor(math.log10(max(1 - abs(r), 1e-8))))
    return f"{r:.{digits}f}"


def size(values: int | float) -> str:
    """Bytes, and as KiB or MiB."""
    for unit, step in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if values >= step:
            return f"{values / step:.2f} {unit} ({values:,.0f} bytes)"
    return f"{values:,.0f} bytes"
