# SPDX-License-Identifier: Apache-2.0
"""Generates the jobs of the units: Verilog headers and Python types, from the fields that each unit takes of its descriptor."""

from __future__ import annotations

from registers.description import NOTICE, ROOT, Description, Job, jobs

_SPDX = "SPDX-License-Identifier: Apache-2.0"


def _words(unit: str) -> str:
    return unit.replace("_", " ")


def job_ports(description: Description) -> str:
    """rtl/gradcore_jobs.vh: for each unit a macro with the width of its job, and one that picks the job out of a descriptor."""
    lines = [
        f"// {_SPDX}",
        f"// {NOTICE}",
        "// Include it before a module. A job is what a unit takes of a descriptor: `x_JOB_BITS is its width, `x_JOB(descriptor) picks",
        "// it; x_job.vh, included inside a module with a port `job`, gives its fields their names.",
        "`ifndef GRADCORE_JOBS",
        "`define GRADCORE_JOBS",
    ]
    for job in jobs(description):
        name = job.unit.upper()
        runs: list[list[int]] = []  # [low, high] in the descriptor, of neighbouring fields together
        for item, low, _ in job.places:
            if runs and runs[-1][1] + 1 == low:
                runs[-1][1] += item.width
            else:
                runs.append([low, low + item.width - 1])
        parts = [f"descriptor[{high}:{low}]" if high > low else f"descriptor[{low}]" for low, high in reversed(runs)]
        rows = [", ".join(parts[first : first + 5]) for first in range(0, len(parts), 5)]
        lines += ["", f"// Of a {job.opcode} descriptor.", f"`define {name}_JOB_BITS {job.bits}"]
        lines += [f"`define {name}_JOB(descriptor) {{ \\", *(f"  {row}, \\" for row in rows[:-1]), f"  {rows[-1]}}}"]
    return "\n".join([*lines, "", "`endif", ""])


def job_headers(description: Description) -> dict[str, str]:
    """unit -> rtl/<unit>_job.vh: a wire for each field."""
    return {job.unit: _job_header(job) for job in jobs(description)}


def _job_header(job: Job) -> str:
    lines = [
        f"// {_SPDX}",
        f"// {NOTICE}",
        f"// The fields of a job of the {_words(job.unit)}, by the names of the {job.opcode} descriptor. Include it in a module with",
        f"// input [`{job.unit.upper()}_JOB_BITS-1:0] job.",
    ]
    for item, _, low in job.places:
        width, place = (f"[{item.width - 1}:0] ", f"{low + item.width - 1}:{low}") if item.width > 1 else ("", str(low))
        lines.append(f"wire {width}{item.name} = job[{place}];")
    return "\n".join([*lines, ""])


def job_types(description: Description) -> str:
    """models/jobs.py: a frozen dataclass for each unit, on the base class of jobs.py.in."""
    template = (ROOT / "registers" / "jobs.py.in").read_text()
    out = [f"# {_SPDX}", f'"""The jobs of the units: what each takes of a descriptor.\n\n{NOTICE}\n"""', ""]
    out += [template[template.index("from __future__") :].rstrip()]
    made = jobs(description)
    for job in made:
        out += ["", "", "@dataclass(frozen=True, kw_only=True)", f"class {_class(job.unit)}(Job):"]
        out += [f'    """A job of the {_words(job.unit)}: what it takes of a {job.opcode} descriptor.', "", "    Attributes:"]
        out += [f"        {item.name}: {item.text}" for item, _, _ in job.places]
        out += ['    """', "", f'    UNIT: ClassVar[str] = "{job.unit}"', f'    OPCODE: ClassVar[str] = "{job.opcode}"']
        out += [f"    BITS: ClassVar[int] = {job.bits}", "    PLACES: ClassVar[dict[str, tuple[int, int, bool]]] = {"]
        out += [f'        "{item.name}": ({low}, {item.width}, {item.signed}),' for item, _, low in job.places]
        out += ["    }", "", *(f"    {item.name}: int = 0" for item, _, _ in job.places)]
    out += ["", "", "# Unit -> the type of its jobs.", "JOBS: dict[str, type[Job]] = {"]
    out += [f'    "{job.unit}": {_class(job.unit)},' for job in made] + ["}", ""]
    return "\n".join(out)


def _class(unit: str) -> str:
    return "".join(part.capitalize() for part in unit.split("_")) + "Job"
