# SPDX-License-Identifier: Apache-2.0
"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

# Names of the table in gradcore.attribution, which takes long to import: a test holds the two together.
RULES = ("saliency", "deconvnet", "guided")
METHODS = (*RULES, "input_x_gradient", "integrated_gradients", "smoothgrad", "gradcam", "guided_gradcam", "occlusion")
MethodOption = Annotated[
    str, typer.Option("--method", metavar="METHOD", help=f"One of {', '.join(METHODS)}; gradcore methods tells what they are.")
]
ParameterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter",
        metavar="NAME=VALUE",
        show_default=False,
        help="Parameter of the method, such as n_steps=20; as often as wanted. gradcore methods lists them.",
    ),
]
TargetOption = Annotated[
    str | None,
    typer.Option("--target", metavar="CLASS", show_default="the predicted class", help="Class to explain: its name or index."),
]
AgainstOption = Annotated[
    str | None,
    typer.Option("--against", metavar="CLASS", show_default=False, help="Why the class and not this one: its logit is subtracted."),
]
NetworkOption = Annotated[
    str,
    typer.Option("--network", metavar="FILE|cifar10|fer", help="Network file, or the name of a network that comes with GradCore."),
]
SimulatorOption = Annotated[
    str,
    typer.Option("--simulator", metavar="verilator|icarus", help="Simulator that runs the Verilog. Icarus is slow."),
]
PresetOption = Annotated[
    str,
    typer.Option(
        "--preset",
        metavar="small|paper|full",
        help="Size of the hardware: 128 MACs (full), the 64 of the paper, or small.",
    ),
]
ClockOption = Annotated[float, typer.Option("--clock", metavar="MHZ", help="Clock of the hardware; memory stays at 1.6 GB/s.")]
HeadroomOption = Annotated[
    str,
    typer.Option(
        "--headroom",
        metavar="auto|BITS",
        help="Bits by which number formats are wider than the network's. auto: where values saturate, a second run.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]
