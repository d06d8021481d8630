# SPDX-License-Identifier: Apache-2.0
"""The machine that GradCore runs on: its files, streams, processes, tools, and the cache of builds."""
