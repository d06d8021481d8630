# SPDX-License-Identifier: Apache-2.0
"""A compiled program, written for a person."""

from __future__ import annotations

from gradcore.compiler.contents import Contents
from gradcore.compiler.layout import MapRegion, TagRegion


def listing(program: Contents) -> str:
    """Summary, memory map, layers, weight buffer, and every descriptor."""
    jobs = program.jobs()
    return "\n".join(
        [
            *_summary(program, jobs),
            "",
            *_memory(program),
            "",
            *_layers(program),
            "",
            *_weights(program, jobs),
            "",
            *_descriptors(program, jobs),
            "",
        ]
    )


def _summary(program: Contents, jobs: list[dict]) -> list[str]:
    hardware = program.hardware
    counts = {name: sum(job["opcode"] == name for job in jobs) for name in ("TILE", "WEIGHTS", "VECTOR", "SEED", "END")}
    return [
        f"Program {program.name}: {program.descriptors} descriptors ("
        + ", ".join(f"{count} {name}" for name, count in counts.items())
        + ")",
        f"Hardware: {hardware.groups} groups x 2 streams x {hardware.lanes} lanes, tile bank {hardware.tile_depth} entries / "
        f"{hardware.tile_pixels} pixels, weight buffer {hardware.weight_depth} rows",
        f"Memory: {program.memory_size} bytes from {program.base:#010x} (image {len(program.image)}), window "
        f"{program.window[0]:#010x}..{program.window[1]:#010x}; tags {program.tag_bytes} bytes",
        f"MACs, dense: {sum(layer.macs_dense for layer in program.forward_layers)} forward, "
        f"{sum(layer.macs_dense for layer in program.backward_layers)} backward",
        *(f"Note: {note}" for note in program.notes),
    ]


def _memory(program: Contents) -> list[str]:
    lines = ["Memory map", f"  {'address':10} {'end':10} {'bytes':>9}  what"]
    for name, region in program.regions.items():
        shape = ""
        if isinstance(region, MapRegion):
            shape = f"  {region.height} x {region.width} x {region.channels} (in memory {region.padded_channels})"
        elif isinstance(region, TagRegion):
            shape = f"  {region.height} x {region.width} pixels x {region.blocks} blocks x {region.pieces} pieces"
        lines.append(f"  {region.address:#010x} {region.end:#010x} {region.size:>9}  {name}: {region.purpose}{shape}")
    return lines


def _layers(program: Contents) -> list[str]:
    names, kinds = (
        max(len(text) for text in ("kind ", *texts)) for texts in zip(*((one.name, one.kind) for one in program.layers), strict=True)
    )
    lines = [
        "Layers",
        f"  {'id':>3} {'name':{names}} {'kind':{kinds}} {'jobs':>5} {'tile':>8} {'pack':>4} {'sets':>4} {'MACs':>10}  descriptors",
    ]
    for layer in program.layers:
        tile = f"{layer.tile[0]} x {layer.tile[1]}" if layer.tile else "-"
        lines.append(
            f"  {layer.identifier:>3} {layer.name:{names}} {layer.kind:{kinds}} {layer.jobs:>5} {tile:>8} {layer.stride:>4} "
            f"{layer.sets:>4} {layer.macs_dense:>10}  {layer.first_descriptor}..{layer.last_descriptor}"
        )
    return lines


def _weights(program: Contents, jobs: list[dict]) -> list[str]:
    lines = ["Weight buffer", "  descriptor layer                rows (ring)   blocks bank  after tiles computed"]
    for index, job in enumerate(jobs):
        if job["opcode"] == "WEIGHTS":
            end = (job["weight_base"] + job["rows"] - 1) % program.hardware.weight_depth
            lines.append(
                f"  {index:>10} {program.layers[job['layer']].name:20} {job['weight_base']:>4}..{end:<8} {job['blocks']:>6} "
                f"{job['bias_bank']:>4}  {job['wait_computed']}"
            )
    return lines


def _descriptors(program: Contents, jobs: list[dict]) -> list[str]:
    lines = ["Descriptors (T, V, W: number among TILE, VECTOR and SEED, WEIGHTS jobs)"]
    numbers = {"TILE": 0, "VECTOR": 0, "WEIGHTS": 0}
    for index, job in enumerate(jobs):
        opcode = job["opcode"]
        counter = {"SEED": "VECTOR"}.get(opcode, opcode)
        number = ""
        if counter in numbers:
            number = f"{counter[0]}{numbers[counter]}"
            numbers[counter] += 1
        flags = " last" if job["last_of_layer"] else ""
        name = program.layers[job["layer"]].name if opcode != "END" else ""
        waits = f"wait tiles {job['wait_tiles']} vectors {job['wait_vectors']}"
        lines.append(f"  {index:>4} {number:>5} {opcode:8}{name}{flags}")
        detail = _DETAIL[opcode](job)
        if detail:
            lines.append(f"                {waits}{detail}")
    return lines


def _tile(job: dict) -> str:
    names = ("load_relu", "unpool", "tags", "index_channel", "relu", "clip", "pool", "store_tags", "from_partial", "to_partial")
    flags = "".join(f" {name}" for name in names if job[name])
    steps = 1 << job["stride_y_log2"], 1 << job["stride_x_log2"]
    stride = "" if steps == (1, 1) else f", stride {steps[0]} x {steps[1]}"
    apart = f", pixels {job['source_pixel_pitch']} bytes apart" if job["by_pixel"] else ""
    taps = "" if job["tap_rows"] else ", the same for all taps"
    stride += f", windows of {job['window']} x {job['window']}" if job["window"] else ""
    written = (
        "nothing"
        if job["to_partial"]
        else (f"{job['unit_rows']} x {job['columns_stored']} x {job['words_per_pixel_stored']} words at {job['destination_address']:#010x}")
    )
    return (
        f" weights {job['wait_weights']} | read {job['source_rows']} x {job['source_columns']} x {job['words_per_pixel']} words "
        f"at {job['source_address']:#010x}{apart}, buffer {job['buffer_rows']} x {job['buffer_columns']} | kernel {job['kernel_h']} x "
        f"{job['kernel_w']} from ({job['origin_row']}, {job['origin_column']}){stride}, rows at {job['weight_base']}{taps}, "
        f"{job['unit_rows']} x {job['unit_columns']} units x {job['blocks']} blocks, shift {job['shift']} | write {written} |{flags}"
    )


def _vector(job: dict) -> str:
    flags = "".join(f" {name}" for name in ("load_relu", "tags", "has_bias", "relu", "clip", "store_tags", "keep") if job[name])
    return (
        f" | read {job['vector_words']} words at {job['vector_address']:#010x} | matrix {job['matrix_address0']:#010x}, "
        f"{job['matrix_address1']:#010x} pitch {1 << job['pitch_log2']}, {job['blocks']} blocks a half, shift {job['shift']} | "
        f"write {job['destination_words0']} + {job['destination_words1']} words at {job['destination_address0']:#010x} |{flags}"
    )


def _seed(job: dict) -> str:
    return (
        f" | arg-max of {job['pixels']} x {job['channels']} at {job['logits_address']:#010x}, {job['seed_value']} to "
        f"{job['seed_address']:#010x}"
    )


def _weight_job(job: dict) -> str:
    rows = "diagonal rows" if job["diagonal"] else "rows"
    return (
        f" computed {job['wait_computed']} | {job['blocks']} blocks x {job['rows']} {rows} from {job['address0']:#010x}, "
        f"{job['address1']:#010x} to row {job['weight_base']}, bias bank {job['bias_bank']}"
    )


_DETAIL = {"TILE": _tile, "VECTOR": _vector, "SEED": _seed, "WEIGHTS": _weight_job, "END": lambda job: ""}
