# SPDX-License-Identifier: Apache-2.0
"""What verification needs beside benches and models: the plan and its check, coverage, regressions in shards, skips, wave views."""
