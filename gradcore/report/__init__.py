# SPDX-License-Identifier: Apache-2.0
"""Reports: results of pictures as one HTML page, for who trains networks, who looks at the Verilog, and who builds it."""

from gradcore.report.page import check_report, write_report

__all__ = ["check_report", "write_report"]
