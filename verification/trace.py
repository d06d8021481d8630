# SPDX-License-Identifier: Apache-2.0
"""``python -m verification.trace FOLDER``: the jobs of the last run of the core that a test with ``WAVES=1`` left in a folder.

It holds ``activity.txt``, what the engines did, and ``program.npz``, what ran last; the run may have failed, or hung.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gradcore.compiler import Program
from gradcore.errors import GradCoreError
from gradcore.timeline.activity import Activity
from gradcore.timeline.jobs import job_times, job_trace

ACTIVITY, PROGRAM = "activity.txt", "program.npz"


def main() -> int:
    """The command."""
    if len(sys.argv) != 2:
        print("usage: python -m verification.trace FOLDER", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    try:
        activity = Activity.read(folder / ACTIVITY, ended=False)
        jobs = job_times(activity, Program.load(folder / PROGRAM))
    except GradCoreError as error:
        print(error, file=sys.stderr)
        return 2
    print(job_trace(jobs, activity.cycles), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
