# SPDX-License-Identifier: Apache-2.0
"""Timelines of a run: what the engines did, cycle by cycle, as trace events or as a picture."""

from gradcore.timeline.files import check_trace, save_timeline, trace_events
from gradcore.timeline.overview import Overview, overview
from gradcore.timeline.timeline import Counter, Slice, Timeline, Track

__all__ = ["Counter", "Overview", "Slice", "Timeline", "Track", "check_trace", "overview", "save_timeline", "trace_events"]
