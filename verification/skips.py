# SPDX-License-Identifier: Apache-2.0
"""pytest plugin: a test, or a file of tests, that skips fails, unless it stands on the list below with its reason.

A check that is left out in silence is no check: what a test needs is installed by ``make setup``, so that nothing need skip.
"""

from __future__ import annotations

import pytest

_NETWORKS = "some of these networks may not be copied into this repository: they lie in ../shared/networks, where that is"
# Test (file::function, or file) -> why it may skip.
ALLOWED = {
    **{
        f"tests/test_importer_networks.py::{function}": _NETWORKS
        for function in (
            "test_a_real_network_becomes_this_graph_and_agrees_with_its_source",
            "test_two_exports_of_one_network_fold_to_the_same_graph",
            "test_what_is_said_of_networks_with_several_outputs",
            "test_the_sample_that_comes_with_a_network",
        )
    },
    "tests/test_graph_networks_fixed.py::test_a_real_network_agrees_with_float": _NETWORKS,
    "tests/test_graph_networks_fixed.py::test_real_networks_keep_their_accuracy": _NETWORKS,
    "tests/test_shipped_networks.py::test_fer_is_what_its_source_becomes": _NETWORKS,
    "tests/test_other_networks.py::test_a_network_of_others": _NETWORKS,
    "tests/test_simulator.py::test_cache_that_cannot_be_written": "root may write everywhere, so a run as root sees no refusal",
}


def allowed(nodeid: str) -> bool:
    """Whether the test with this id, whatever its parameters, may skip."""
    return nodeid.partition("[")[0] in ALLOWED


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip that is not on the list into a failure that says why, and what to do."""
    if not report.skipped or hasattr(report, "wasxfail") or allowed(report.nodeid):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid} skipped ({reason}): install what it needs (make setup), or list it in verification/skips.py"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    _refuse(report)
    return report
