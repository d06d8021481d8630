# SPDX-License-Identifier: Apache-2.0
"""Headers in C of a program and of a sample, for software/c."""

from __future__ import annotations

import numpy as np

from gradcore.compiler import Program
from gradcore.compiler.layout import MapRegion
from gradcore.models.quantised import picture_table

_PER_LINE = 16


def _array(kind: str, name: str, values: np.ndarray) -> list[str]:
    """Lines of a constant array."""
    flat = [int(value) for value in np.asarray(values).reshape(-1)]
    rows = [flat[start : start + _PER_LINE] for start in range(0, len(flat), _PER_LINE)]
    return [f"static const {kind} {name}[{len(flat)}] = {{", *("  " + ", ".join(map(str, row)) + "," for row in rows), "};"]


def _map(program: Program, region: MapRegion) -> str:
    return f"{{{region.address - program.base:#x}u, {region.height}, {region.width}, {region.channels}, {region.padded_channels}}}"


def c_header(program: Program) -> str:
    """gradcore_program.h: where everything of a program lies, and the table that quantises pixels."""
    hardware = program.hardware
    names = (program.name, f"{len(program.image)} bytes of image", f"{program.memory_size} bytes of memory")
    return "\n".join(
        [
            "// SPDX-License-Identifier: Apache-2.0",
            f"// {', '.join(names)}. Written by `gradcore bundle`: do not edit.",
            "#ifndef GRADCORE_PROGRAM_H",
            "#define GRADCORE_PROGRAM_H",
            "",
            '#include "gradcore.h"',
            "",
            *_array("int16_t", "gradcore_pixel_values", picture_table(program.mean, program.std, program.activations[0])),
            "",
            "static const struct gradcore_program gradcore_program = {",
            f"  {program.base:#010x}u,  // the physical address that the image must lie at",
            f"  {program.window[1] - program.base:#x}u,  // bytes of memory, whole pages",
            f"  {len(program.image):#x}u,  // bytes of the image",
            f"  {program.program_address - program.base:#x}u,  // first descriptor",
            f"  {hardware.groups}, {hardware.lanes}, {hardware.tile_depth}, {hardware.tile_pixels},  // groups, lanes, tile buffer",
            f"  {hardware.weight_depth}, {hardware.output_words},  // weight and output buffer",
            f"  {_map(program, program.picture)},  // picture",
            f"  {_map(program, program.logits)},  // logits",
            f"  {_map(program, program.seed)},  // seed",
            f"  {_map(program, program.attribution)},  // attribution",
            f"  {program.activations[-1]}, {program.gradients[0]},  // fraction bits of logits and attribution",
            "  gradcore_pixel_values,",
            "};",
            "",
            "#endif",
            "",
        ]
    )


def c_sample(sample: dict[str, np.ndarray]) -> str:
    """gradcore_sample.h: a picture, and what the core must give for it, in the order of Python's arrays (C, H, W)."""
    lines = ["// SPDX-License-Identifier: Apache-2.0", "// Written by `gradcore bundle`: do not edit.", "#include <stdint.h>", ""]
    for name, values in sample.items():
        lines += [*_array("uint8_t" if values.dtype == np.uint8 else "int16_t", f"gradcore_sample_{name}", values), ""]
    return "\n".join(lines)
