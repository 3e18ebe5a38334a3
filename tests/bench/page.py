#!/usr/bin/env python3
"""Writes the figures of target/bench/results.json into docs/benchmarks.md and into the comparison of README.md."""

import json
import re
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

RELEASE, STATIC, RELAY, DIRECT, PYTHON = "sigv4-proxy", "static", "relay-floor", "direct", "mcp-proxy-for-aws"

AT_ONCE, DELAYED, FAR = "Calls a second, the server responds at once", "Calls a second, the server responds after 20 ms", "Round trips"

# Rows of the README's comparison: the beginning of the row, where its figure is measured, the unit of that.
COMPARED = [
    ("from start to `initialize`", "Latency", "start to the response to initialize", "ms"),
    ("the same over a long link", FAR, "start to the response to initialize", "RTT"),
    ("memory when idle", "Cost", "resident when idle", "MB"),
    ("one small call", "Latency", "sequential call, p50", "µs"),
    ("calls per second, 256 in flight", DELAYED, "256 in flight", ""),
]

IN_SHORT = ("| from start", "| the same over", "| memory when idle")

# What is to be reached by every build: where it is measured, and at most (or at least) how much, of what.
GOALS = [
    ("Latency", "start to the response to initialize", "≤", 2, RELAY),
    ("Latency", "sequential call, p50", "≤", 1.6, RELAY),
    ("Latency", "sequential call, p99", "≤", 2, RELAY),
    (AT_ONCE, "64 in flight", "≥", 0.5, DIRECT),
    (DELAYED, "256 in flight", "≥", 0.95, DIRECT),
    ("Cost", "processor ms for 1000 calls, 64 in flight", "≤", 4.5, RELAY),
    ("Latency", "event of a stream, p50", "≤", 1.3, RELAY),
    ("Large", "burst of 10,000 events", "≥", 0.5, RELAY),
    ("Large", "1 MB replies", "≥", 0.6, RELAY),
    ("Large", "16 MB replies", "≥", 0.6, RELAY),
    ("Large", "1 MB requests", "≥", 0.6, RELAY),
    ("Cost", "resident when idle", "≤", 6, None),
    ("Cost", "peak with 256 in flight", "≤", 28, None),
    ("Cost", "peak for a 16 MB reply", "≤", 32, None),
    (FAR, "start to the response to initialize", "≤", 3.2, None),
    (FAR, "the same, with keys of STS", "≤", 3.2, None),
    (FAR, "initialize, 0.5 s after the start", "≤", 1.2, None),
    (FAR, "initialized and the first list", "≤", 2.1, None),
    (FAR, "call", "≤", 1.1, None),
    (FAR, "16 calls at once, first time", "≤", 3.3, None),
    (FAR, "16 calls at once, again", "≤", 1.2, None),
    (FAR, "call, after the server closed", "≤", 1.2, None),
]


def main() -> None:
    results = json.loads((ROOT / "target/bench/results.json").read_text(encoding="utf-8"))
    tables = results["tables"]
    readme = ROOT / "README.md"
    lines = [compared(line, tables) for line in readme.read_text(encoding="utf-8").splitlines()]
    rows = {line.split(" | ")[0]: line for line in lines if line.startswith("| ")}
    readme.write_text("\n".join(lines) + "\n", encoding="utf-8")

    page = ROOT / "docs/benchmarks.md"
    text = page.read_text(encoding="utf-8")
    today = f"{date.today():%B %Y}"
    text = region(text, "machine", f"Measured in {today}: {results['machine']}.")
    names = next(line for line in lines if line.startswith("| | sigv4-proxy "))
    shown_rows = [line for row, line in rows.items() if row.startswith(IN_SHORT)]
    text = region(text, "compared", "\n".join([names, "|---" * (names.count("|") - 1) + "|", *shown_rows]))
    text = region(text, "goals", goals(tables))
    text = region(text, "tables", "\n\n".join(map(shown_table, tables)))
    page.write_text(text, encoding="utf-8")


def region(text: str, name: str, content: str) -> str:
    """Replaces what stands between two marks."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        sys.exit(f"docs/benchmarks.md has no region {name}")
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def figures(tables: list[dict], title: str, name: str) -> dict[str, float]:
    """The figures of a row; none if it was not measured."""
    row = measured_row(tables, title, name)
    return {contender: figure for contender, figure in row["figures"] if figure} if row else {}


def measured_row(tables: list[dict], title: str, name: str) -> dict | None:
    """The first row whose name is, or else begins with, this one."""
    rows = [row for table in tables if table["title"].startswith(title) for row in table["rows"]]
    exact = [row for row in rows if row["name"] == name]
    return next(iter(exact or [row for row in rows if row["name"].startswith(name)]), None)


def compared(line: str, tables: list[dict]) -> str:
    """The line of the README, with the figures of this run if it is a row of the comparison."""
    for label, title, name, unit in COMPARED:
        if line.startswith(f"| {label}"):
            cells = line.strip("|").split("|")
            measured = figures(tables, title, name)
            for column, contender in [(1, STATIC), (2, PYTHON)]:
                if contender in measured:
                    cells[column] = f" {rounded(measured[contender], unit)} "
            return f"|{'|'.join(cells)}|"
    return line


def rounded(figure: float, unit: str) -> str:
    """Two digits, in the unit that is read most easily."""
    if unit == "µs":
        figure, unit = figure / 1000, "ms"
    if unit == "RTT":
        figure, unit = figure * 100, "ms"
    if unit == "ms" and figure >= 300:
        figure, unit = figure / 1000, "s"
    digits = float(f"{figure:.2g}")
    number = f"{digits:,.0f}" if digits >= 10 else f"{digits:g}"
    return f"{number} {unit}".strip()


def goals(tables: list[dict]) -> str:
    lines = ["| | direct | relay-floor | release build | static build | goal | |", "|---|---:|---:|---:|---:|---|---|"]
    for title, name, sense, limit, base in GOALS:
        measured = figures(tables, title, name)
        if RELEASE not in measured:
            continue
        bound = limit * measured[base] if base else limit
        builds = {"release": measured[RELEASE], "static": measured.get(STATIC)}
        failed = [
            build
            for build, figure in builds.items()
            if figure and (figure > bound if sense == "≤" else figure < bound)
        ]
        goal = f"{sense} {limit:g}" + {RELAY: " × relay", DIRECT: " × direct"}.get(base, "")
        verdict = f"**missed** by {' and '.join(failed)}" if failed else "reached"
        cells = [shown(measured.get(contender)) for contender in (DIRECT, RELAY, RELEASE, STATIC)]
        name = measured_row(tables, title, name)["name"]
        lines.append(f"| {title_of(title)}{name} | {' | '.join(cells)} | {goal} | {verdict} |")
    return "\n".join(lines)


def title_of(title: str) -> str:
    return {AT_ONCE: "calls a second, ", DELAYED: "calls a second with 20 ms, ", FAR: "round trips, "}.get(title, "")


def shown_table(table: dict) -> str:
    contenders = [contender for contender, _ in table["rows"][0]["figures"]]
    lines = [f"### {table['title']}", "", f"| | {' | '.join(contenders)} |", f"|---|{'---:|' * len(contenders)}"]
    for row in table["rows"]:
        lines.append(f"| {row['name']} | {' | '.join(shown(figure) for _, figure in row['figures'])} |")
    return "\n".join(lines)


def shown(figure: float | None) -> str:
    if not figure or figure < 0:
        return "–"
    return f"{figure:.2f}" if figure < 10 else f"{figure:.1f}" if figure < 1000 else f"{figure:,.0f}"


if __name__ == "__main__":
    main()
