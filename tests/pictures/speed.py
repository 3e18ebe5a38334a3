#!/usr/bin/env python3
"""Draws docs/speed.svg from the figures in the comparison of README.md."""

import re
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Rows of the table, with the title of their bars.
PANELS = {
    "from start to `initialize`": "From start to the response to initialize",
    "memory when idle": "Memory when idle",
    "the same over a long link (RTT 100 ms, TLS)": "Start over a long link (RTT 100 ms, TLS)",
}
UNITS = {"ms": 1.0, "s": 1000.0, "MB": 1.0}

NAMES, LEFT, RIGHT, ROW, BAR = 198, 208, 790, 22, 12

CSS = """\
    text { fill: #1f2328 } .title { font-weight: 600 } .small { fill: #59636e }
    .bar { fill: #afb8c1 } .program { fill: #0969da }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc } .small { fill: #9198a1 }
      .bar { fill: #656c76 } .program { fill: #4493f8 }
    }"""


def main() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = [cells(line) for line in readme.splitlines() if line.startswith("| ")]
    names = next(row[1:] for row in table if row[0] == "" and row[1].startswith("sigv4-proxy "))
    parts, y = [], 0
    for label, title in PANELS.items():
        figures = next(row[1:] for row in table if row[0] == label)
        y += 24
        parts.append(text(0, y, title, "title"))
        y += 8
        measured = [(name, figure) for name, figure in zip(names, figures) if figure != "–"]
        most = max(value(figure) for _, figure in measured)
        for name, figure in measured:
            length = max(2, (RIGHT - LEFT) * value(figure) / most)
            style = "bar program" if name.startswith("sigv4-proxy ") else "bar"
            parts.append(text(NAMES, y + 14, name.replace("`", ""), "small", "end"))
            parts.append(f'  <rect class="{style}" x="{LEFT}" y="{y + 4}" width="{length:.1f}" height="{BAR}" rx="2"/>\n')
            parts.append(text(LEFT + length + 8, y + 14, figure, "small"))
            y += ROW
    title = "sigv4-proxy and the programs that it replaces: start, memory and long link; less is better"
    (ROOT / "docs/speed.svg").write_text(
        f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {y + 6}" font-size="12" \
font-family="ui-sans-serif, system-ui, 'Segoe UI', sans-serif">
  <title>{escape(title)}</title>
  <style>
{CSS}
  </style>
{"".join(parts)}</svg>
""",
        encoding="utf-8",
    )


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def value(figure: str) -> float:
    number, unit = re.fullmatch(r"([\d.,]+) (\w+)", figure).groups()
    return float(number.replace(",", "")) * UNITS[unit]


def text(x: float, y: float, content: str, style: str, anchor: str = "start") -> str:
    return f'  <text class="{style}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(content, quote=False)}</text>\n'


if __name__ == "__main__":
    main()
