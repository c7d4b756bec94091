"""MkDocs hooks for the site; the pages in the repository are the same without them.

Files of the repository that the pages link to, such as ../CONTRIBUTING.md, become pages too, so the same link works in
both places. Printed tables get a class, because they must scroll where sentences wrap.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "data/README.md")


def _page(path: str) -> str:
    return f"repository/{path.removesuffix('.md')}.md"


def on_files(files: Files, *, config: Any) -> Files:
    """Add the linked files as pages."""
    for path in LINKED:
        files.append(File.generated(config, _page(path), content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point the links at these pages."""
    for path in LINKED:
        markdown = markdown.replace(f"](../{path})", f"]({_page(path)})")
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Mark the blocks of output that contain a printed table."""
    blocks = re.compile(r'<div class="(language-text highlight)">(?=(?:(?!</div>).)*(?:──|\S {3,}\S))', re.DOTALL)
    return blocks.sub(r'<div class="\1 printed-table">', html)
