#!/usr/bin/env python3
"""Renews the install lines in README.md and docs/installing.md from `published` in project.toml."""

import sys

from packer import install_lines
from packer.project import Problem, load

try:
    for page, text in install_lines.pages(load()).items():
        page.write_text(text, encoding="utf-8")
except Problem as problem:
    sys.exit(f"install_docs.py: {problem}")
