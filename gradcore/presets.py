# SPDX-License-Identifier: Apache-2.0
"""The sizes that the core is built in: the parameters of ``gradcore.v`` by the name of the preset."""

PRESETS: dict[str, dict[str, int]] = {"small": {"GROUPS": 1}, "paper": {"GROUPS": 2}, "full": {"GROUPS": 4}}
