"""What a benchmark found: rows, on the terminal and in bench/results/NAME.json.

The file is an array of rows. The first, "machine", says where, on which commit and when; the others each have one
measured value and, where there is one, the rival's in the same run and the ratio, above 1 where ours is better.
"""

import datetime
import json
import os
import pathlib
import platform
import subprocess
from dataclasses import asdict, dataclass, field

RESULTS = pathlib.Path("bench/results")


@dataclass
class Row:
    name: str
    value: float
    unit: str
    rival: str | None = None
    rival_value: float | None = None
    ratio: float | None = None
    recall: float | None = None  # recall@10 of ours
    threads: int = 1
    data: str = ""
    note: str = ""  # settings, spread of the rounds, what else one has to know


def _git(*arguments):
    return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.strip()


def commit():
    return _git("rev-parse", "--short=12", "HEAD") + (" + changes" if _git("status", "--porcelain", "-uno") else "")


def machine():
    """The processor as the kernel names it, and how many of it."""
    models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {os.cpu_count()} cores"


def _system():
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())


def _machine_row():
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return Row("machine", os.cpu_count(), "cores", threads=os.cpu_count(), data=f"{machine()}, {_system()}; commit {commit()}; {now}")


def number(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


@dataclass
class Report:
    rows: list[Row] = field(default_factory=lambda: [_machine_row()])

    def add(self, name, value, unit, *, lower_is_better=False, **rest):
        """One row; the ratio follows from the two values."""
        row = Row(name, float(value), unit, **rest)
        if row.rival_value is not None:
            row.rival_value = float(row.rival_value)
            row.ratio = row.rival_value / row.value if lower_is_better else row.value / row.rival_value
        self.rows.append(row)
        return row

    def save(self, path):
        """At once or not at all; what is measured so far survives an interruption."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(" " + json.dumps(_rounded(asdict(row)), ensure_ascii=False) for row in self.rows)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        temporary.replace(path)

    def table(self):
        lines = [("", "value", "unit", "rival", "its value", "ratio", "recall", "data")]
        for row in self.rows[1:]:
            lines.append((row.name, number(row.value), row.unit, row.rival or "", number(row.rival_value),
                          f"{row.ratio:.2f}x" if row.ratio else "", f"{row.recall:.3f}" if row.recall else "", row.data))
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = [_aligned(line, widths) for line in lines]
        return "\n".join([self.rows[0].data, "", text[0], "-" * len(text[0]), *text[1:]])


def _aligned(line, widths):
    left = {0, 2, 3, 7}
    cells = [c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))]
    return "  ".join(cells).rstrip()


def _rounded(row):
    return {key: float(f"{value:.5g}") if isinstance(value, float) else value for key, value in row.items()}
