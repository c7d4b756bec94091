"""Texts are plain English: words and phrases of tests/vocabulary.txt do not occur in them."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

LIST = ROOT / "tests" / "vocabulary.txt"
TEXTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "train.py", "data/README.md")),
    *(path for folder in ("src", "conf", "docs") for path in sorted((ROOT / folder).rglob("*"))),
]
TEXTS = [path for path in TEXTS if path.suffix in (".md", ".py", ".yaml", ".j2", ".js") and path.exists()]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BREAK = r"(?:\s|#)+"  # between two words of a phrase: a space, or a line break, also in a comment


def entries() -> Iterator[tuple[str, str]]:
    """Each phrase with its replacement."""
    for line in LIST.read_text().splitlines():
        if line and not line.startswith("#"):
            phrase, replacement = line.split(" | ")
            yield phrase, replacement


@cache
def patterns() -> tuple[re.Pattern[str], dict[str, str], dict[str, str]]:
    """One pattern for all phrases, and the replacements of phrases and of names."""
    names = {phrase.strip("`"): replacement for phrase, replacement in entries() if phrase.startswith("`")}
    phrases = {phrase.lower(): replacement for phrase, replacement in entries() if not phrase.startswith("`")}
    longest_first = sorted(phrases, key=len, reverse=True)
    pattern = "|".join(BREAK.join(map(re.escape, phrase.split())) for phrase in longest_first)
    return re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE), phrases, names


def found_phrases(text: str) -> list[tuple[int, str, str]]:
    """(line, phrase, replacement) of every phrase in a text."""
    pattern, phrases, _ = patterns()
    found = []
    for match in pattern.finditer(text):
        phrase = re.sub(BREAK, " ", match[0]).lower()
        found.append((text.count("\n", 0, match.start()) + 1, phrase, phrases[phrase]))
    return found


def found_names(code: str) -> list[tuple[int, str, str]]:
    """(line, name, replacement) of every identifier of Python code that is in the list."""
    names = patterns()[2]
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return [(t.start[0], t.string, names[t.string]) for t in tokens if t.type == tokenize.NAME and t.string in names]


def definitions(code: str) -> Iterator[tuple[int, str]]:
    """Yield (line, name as words) for every function and class."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.lineno, node.name.replace("_", " ")


def problems(path: Path) -> list[str]:
    """One line for each word or phrase of the list in a file."""
    text = path.read_text()
    found = found_phrases(text)
    if path in TESTS:
        found += [
            (line, phrase, better) for line, name in definitions(text) for _, phrase, better in found_phrases(name)
        ]
    elif path.suffix == ".py":
        found += found_names(text)
    return [f"{path.relative_to(ROOT)}:{line}: '{phrase}', better: {better}" for line, phrase, better in found]


@pytest.mark.parametrize("part", ["texts", "tests"])
def test_no_text_contains_a_phrase_of_the_list(part):
    found = [problem for path in (TEXTS if part == "texts" else TESTS) for problem in problems(path)]
    assert not found, "\n" + "\n".join(found)


def telegrams(text: str) -> list[str]:
    """Return the endings of a text such as "the winner; None if there is none", which should be a clause or a sentence."""
    return re.findall(r"; (?:None|empty)\s(?:if|for|without|where|when|unless)\b", text)


def test_no_docstring_or_comment_has_a_telegram_ending():
    assert {path.name: telegrams(path.read_text()) for path in TEXTS if telegrams(path.read_text())} == {}


def test_a_telegram_ending_is_found_but_not_a_clause():
    assert telegrams("The winner; None if there is none.") == ["; None if"]
    assert telegrams("The samples; empty\nfor plain rows") == ["; empty\nfor"]
    assert telegrams("Return the winner, or None if there is none.") == []


def test_every_phrase_is_found_in_upper_case_and_across_a_line_break():
    for phrase, replacement in patterns()[1].items():
        broken = "\n# ".join(["one", *phrase.upper().split()])
        assert found_phrases(broken) == [(2, phrase, replacement)]


def test_no_phrase_is_found_in_a_longer_word():
    for phrase in patterns()[1]:
        for longer in (f"x{phrase}", f"{phrase}x", f"self-{phrase}", f"{phrase}-like"):
            assert phrase not in [found for _, found, _ in found_phrases(longer)], longer


def test_every_name_is_found_in_code_but_not_in_text():
    for name, replacement in patterns()[2].items():
        assert found_names(f"{name} = 1  # {name}\nx = '{name}'\n") == [(1, name, replacement)]


def test_each_entry_of_the_list_has_a_replacement_and_occurs_once():
    phrases = [phrase for phrase, _ in entries()]
    assert len(phrases) > 100
    assert sorted(phrases) == sorted(set(phrases))
    assert all(replacement.strip() for _, replacement in entries())
