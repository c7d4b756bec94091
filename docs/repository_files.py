"""An MkDocs hook: files of the repository that the pages link to, such as ../CONTRIBUTING.md, become pages too.

So the same link works in the repository and on the site.
"""

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
