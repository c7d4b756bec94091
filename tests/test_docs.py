"""Commands, Python blocks, output, keys, links and terms in docs/ and README.md are compared with the code."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import zip_longest
from pathlib import Path
from threading import Thread

import pytest
from conftest import ROOT, composed, needs_browser
from omegaconf import OmegaConf

from steepest.course.catalogue import COURSE

DOCS = ROOT / "docs"
PAGES = {page.name: page for page in (*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")}
CONF = ROOT / "conf"
GROUPS = ("data", "model", "optimizer", "scheduler", "stop", "evaluation", "callbacks", "trainer", "logger")
HYDRA_CHOICES = {"hydra/launcher": ["basic"]}  # choices of Hydra without a file in conf/
NO_KEYS = ("weights_only", "group", "key", "install")  # other code with a =
SHORT = ("loss", "activation")  # of `steepest gradcheck`, for model.loss and model.activation
OF_A_PROJECT = {"mine"}  # the choice of the reader's own project

# Commands that no test here runs, and why.
EXCEPTIONS = {
    "pip install": "the tests' environment is installed already",
    "uv venv": "same as pip install",
    "pytest": "this is pytest",
    "ruff": "checks the repository, not the test's folder; .ci/run runs it",
    "mypy": "same as ruff",
    "mkdocs serve": "serves until it is stopped; test_the_site_builds_without_a_warning builds the same pages",
    "steepest board": "serves until it is stopped; tests/test_board.py tests it",
    "steepest course --short": "pytest -m course runs the short form of some lessons",
    "steepest course\n": "takes minutes; pytest -m course runs it",
    "experiment=beat_persistence data=stocks": "takes 8 minutes; the same experiment on the S&P 500 is run",
    "data.path=exchange_rate.csv": "needs a file from the internet; tests/lightning/test_window_models.py uses a made-up one",
    "python -m tests.campaign.ltsf": "the same, for three files",
    "cd mine": "each command of a page runs on its own; tests/runs/test_init.py runs them together",
    "model=mine": "same as cd mine",
    "steepest trust": "same as cd mine",
    "steepest course mine": "needs a trusted folder; tests/course/test_own_lesson.py runs it in one",
    "--install-completion": "changes the user's shell; tests/test_completion.py tests the completion",
    "eval ": "same as --install-completion",
    "docker ": "needs Docker",
    "data=yahoo": "needs the internet; tests/data/test_sources.py uses a fake Yahoo",
    "hydra/launcher=submitit": "needs a cluster, or the extra slurm; tests/sweep/test_launchers.py runs it where it is installed",
    "hydra/launcher=ray": "needs a cluster, or the extra ray; tests/sweep/test_launchers.py runs it where it is installed",
}


@dataclass(frozen=True)
class Block:
    """A block of commands, and the output that the page shows below it."""

    page: str
    commands: tuple[str, ...]
    output: str

    @property
    def run(self) -> list[str]:
        """The commands to run here. tests/test_wheel.py runs those of the README but does not check their output."""
        elsewhere = [] if self.output else commands_of_readme()
        return [
            command
            for command in self.commands
            if command not in elsewhere and not any(words in f"{command}\n" for words in EXCEPTIONS)
        ]

    @property
    def slow(self) -> bool:
        """Whether a command trains, or needs the files of the page."""
        return bool(files_of(PAGES[self.page].read_text())) or not all(
            command.startswith("steepest gradcheck") or "--cfg" in command for command in self.run
        )


def fenced(text: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def files_of(text: str) -> dict[str, str]:
    """Name and content of each file that a page shows: the blocks with a title."""
    return dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL))


def with_output(text: str) -> list[tuple[str, str, str]]:
    """Yield language, content and output of each fenced block. A block of text is the output of the block before it."""
    found: list[tuple[str, str, str]] = []
    for language, content in fenced(text):
        if language == "text":
            *block, output = found.pop()
            found.append((*block, output + content))
        else:
            found.append((language, content, ""))
    return found


def commands_of(block: str) -> list[str]:
    lines = [line.split("  #")[0].strip() for line in block.splitlines()]
    return [part.strip() for line in lines for part in line.split(" && ") if part.strip()]


@cache
def commands_of_readme() -> list[str]:
    return [
        c
        for language, block in fenced(PAGES["README.md"].read_text())
        if language == "bash"
        for c in commands_of(block)
    ]


def blocks() -> list[Block]:
    return [
        Block(name, tuple(commands_of(content)), output)
        for name, page in PAGES.items()
        for language, content, output in with_output(page.read_text())
        if language == "bash"
    ]


def lines_of(output: str) -> list[str]:
    """Return the lines with words or numbers, without box characters, extra spaces and times."""
    plain = (re.sub(r"[^\w\s.,:;%()<>=+'/*-]", " ", line) for line in output.splitlines())
    timeless = (re.sub(r"\d+(\.\d+)? s\b", "a time", line) for line in plain)
    return [" ".join(line.split()) for line in timeless if re.search(r"\w", line)]


NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")


def agree(shown: str, printed: str) -> bool:
    """Return whether two lines have the same words, and the same numbers up to the last digits.

    Numbers below 1e-9 are rounding errors, which differ between processors.
    """
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=1e-3, abs_tol=2e-4) for a, b in pairs)


def assert_prints(shown: str, printed: str) -> None:
    """Assert that each shown line is printed, in this order. Other lines may be between them."""
    left = iter(lines_of(printed))
    for line in lines_of(shown):
        assert any(agree(line, other) for other in left), f"not printed: {line}\n{printed}"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with the contents of a checkout and a user's file of prices."""
    for name in ("data", "conf", "tests", "docs", "train.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    lines = gzip.decompress((ROOT / "data" / "sp500.csv.gz").read_bytes()).decode().splitlines()
    (tmp_path / "prices.csv").write_text("\n".join([lines[0], *lines[-1500:]]))
    return tmp_path


def start(command: str, folder: Path) -> str:
    """Run a command of a page, and return what it prints."""
    variables, program = re.fullmatch(r"((?:[A-Z]+=\S+ )*)(.*)", command).groups()
    answer = subprocess.run(
        f"{variables}{Path(sys.executable).parent / program}", shell=True, cwd=folder, env=os.environ | {"COLUMNS": "80"},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def cases() -> list:
    """Yield each block to run. A block of the README is not run if docs/ has the same commands and output."""
    docs = [block for block in blocks() if block.page != "README.md"]
    commands, outputs = {c for block in docs for c in block.commands}, {block.output for block in docs}
    runs = [b for b in blocks() if b.run and (b in docs or not commands >= set(b.run) or b.output not in outputs)]
    return [pytest.param(b, id=f"{b.page}: {b.run[0]}", marks=[pytest.mark.slow] * b.slow) for b in runs]


def home_of(page: str, folder: Path) -> Path:
    """The folder for the commands of a page: a checkout, or, if the page shows files, a folder with only these."""
    files = files_of(PAGES[page].read_text())
    if not files:
        return folder
    home = folder / "own"
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    return home


def make_run(name: str, page: str, folder: Path) -> None:
    """Run the command of the page that makes this run."""
    if not (folder / name).exists():
        start(next(c for block in blocks() for c in block.run if block.page == page and f"run.dir={name}" in c), folder)


@pytest.mark.parametrize("block", cases())
def test_the_commands_of_a_block_run_and_print_what_the_page_shows(block, folder):
    printed, folder = "", home_of(block.page, folder)
    for command in block.run:
        needed = re.search(r"resume=(\S+)", command)  # the page does not show how the run started
        if needed and not (folder / needed[1]).exists() and not files_of(PAGES[block.page].read_text()):
            start(f"python train.py stop.epochs=2 hydra.run.dir={needed[1]}", folder)
        elif needed:
            make_run(needed[1], block.page, folder)
        needed = re.match(r"steepest (?:report|resume) (\S+)", command)
        if needed and not (folder / needed[1]).exists():
            start(f"python train.py -m optimizer.lr=0.01,0.1 stop.epochs=2 hydra.sweep.dir={needed[1]}", folder)
        needed = re.match(r"steepest (?:predict|evaluate|export|backtest) (\S+)", command)
        if needed:
            make_run(needed[1], block.page, folder)
        printed += start(command, folder)
    assert_prints(block.output, printed)


def test_output_with_a_different_word_or_number_is_detected():
    shown = "train  model   12.326   0.79%\n4550 updates, 4.2 s; step 0.01 (3e-17)"
    assert_prints(shown, "Scores\n│ train │ model │ 12.3261 │ 0.79% │\n4550 updates, 5.9 s; step 0.01 (2e-16)")
    for before, after in (("12.326", "12.5"), ("model", "drift"), ("0.01", "0.02"), ("4550", "4551000")):
        with pytest.raises(AssertionError, match="not printed"):
            assert_prints(shown, shown.replace(before, after))


def test_every_exception_is_needed():
    commands = [command for block in blocks() for command in block.commands]
    assert [words for words in EXCEPTIONS if not any(words in f"{command}\n" for command in commands)] == []


def test_a_block_that_shows_output_is_run():
    not_run = [block for block in blocks() if block.output and not block.run]
    assert [block for block in not_run if "data=stocks" not in block.commands[0]] == []


def skills(output: str) -> str:
    """Return the table of mean skills by window and model, trained once / walk-forward, from a sweep's output."""
    rows = re.findall(r"^ (holdout|walk_forward) +(\[.*?\]) +(\d+) .* (-?[\d.]+) ± [\d.]+$", output, re.MULTILINE)
    skill = {(window, hidden, kind): f"{float(mean):.4f}" for kind, hidden, window, mean in rows}
    assert len(skill) == 24
    lines = ["| window | line | two-layer net | deep net |", "|---|---|---|---|"]
    for window in ("1", "7", "28", "56"):
        kinds = ("holdout", "walk_forward")
        cells = [" / ".join(skill[window, hidden, kind] for kind in kinds) for hidden in ("[]", "[64]", "[64,64]")]
        lines.append(f"| {window} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_skills_that_a_page_lists_are_those_of_the_output():
    page = (DOCS / "beat.md").read_text()
    for section in page.split("\n## ")[1:3]:
        assert skills(section) in section


@pytest.mark.slow
def test_a_row_of_the_table_of_stocks_is_that_of_its_jobs(tmp_path):
    page = (DOCS / "beat.md").read_text()
    _, _, stocks = page.partition("## 20 stocks")
    row = next(line for line in stocks.splitlines() if re.match(r" holdout\s+\[\]\s+1 ", line))
    setting = ["data=stocks", "evaluation=holdout", "model.hidden=[]", "data.window=1"]
    command = [sys.executable, str(ROOT / "train.py"), "experiment=beat_persistence", *setting]
    environment = os.environ | {"COLUMNS": "130"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    numbers = re.findall(r"[\d.]+ ± [\d.]+", row)
    assert len(numbers) == 3
    assert all(number in " ".join(done.stdout.split()) for number in numbers), done.stdout


def pages_with_python() -> list:
    """The pages with Python blocks. Those that need a run are slow."""
    texts = {name: page.read_text() for name, page in PAGES.items()}
    trains = re.compile(r"steepest\.(load|run)\(")
    needs_run = {name: trains.search(text) is not None for name, text in texts.items() if "```python" in text}
    return [pytest.param(name, marks=[pytest.mark.slow] * needs) for name, needs in needs_run.items()]


@pytest.mark.parametrize("name", pages_with_python())
def test_the_python_of_a_page_runs(name, folder):
    """The blocks of a page are one program. A block of text after a Python block is its output."""
    parts = [(c, output) for language, c, output in with_output(PAGES[name].read_text()) if language == "python"]
    for run in re.findall(r'steepest\.load\("(\S+)"\)', "".join(content for content, _ in parts)):
        make_run(run, name, folder)
    answer = subprocess.run(
        [sys.executable, "-c", "\n".join(content for content, _ in parts)],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert_prints("".join(output for _, output in parts), answer.stdout)


def flat(node: object, path: str = "") -> set[str]:
    """The dotted path of every key below a node."""
    if not isinstance(node, dict):
        return set()
    paths = {f"{path}.{key}".lstrip("."): value for key, value in node.items()}
    return set(paths).union(*(flat(value, below) for below, value in paths.items()))


def choices(group: str) -> list[str]:
    """Return the choices of a group, including those in its subfolders, such as `course/saddle`."""
    names = sorted(str(file.relative_to(CONF / group).with_suffix("")) for file in (CONF / group).rglob("*.yaml"))
    return HYDRA_CHOICES.get(group, []) + [name for name in names if not name.startswith("base/")]


@cache
def keys() -> set[str]:
    """Return every key of some composed configs: the first choices of all groups, the second choices, and so on."""
    found = flat(OmegaConf.to_container(OmegaConf.load(CONF / "train.yaml")))
    named = [[f"{group}={choice}" for choice in choices(group)] for group in GROUPS if group != "callbacks"]
    named.append([f"callbacks=[{','.join(choices('callbacks'))}]"])
    for together in zip_longest(*named):
        found |= flat(OmegaConf.to_container(composed(*filter(None, together))))
    for file in (CONF / "hydra").rglob("*.yaml"):
        group = ".".join(file.parent.relative_to(CONF).parts)
        found |= {group} | flat(OmegaConf.to_container(OmegaConf.load(file)), group)
    return found


def code_of(text: str) -> list[str]:
    """The words of the commands and of the `code` in the text."""
    commands = [content for language, content in fenced(text) if language == "bash"]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return [word.strip("'\"") for piece in (*commands, *spans) for word in piece.replace("\\|", "|").split()]


def own_choices(text: str) -> dict[str, set[str]]:
    """Choice -> keys, such as `model/mine` -> `model.width`, of each config that a page shows as a file."""
    files = {name: content for name, content in files_of(text).items() if name.startswith("conf/")}
    return {
        name.removeprefix("conf/").removesuffix(".yaml"): flat(
            OmegaConf.to_container(OmegaConf.create(content)), name.split("/")[1]
        )
        for name, content in files.items()
    }


def unknown(text: str) -> list[str]:
    """Return the keys and choices in a page's code that are not in conf/."""
    found, own = [], own_choices(text)
    known = keys().union(SHORT, *own.values())
    for word in code_of(text):
        if word.startswith("+callbacks."):  # a name of the user's own
            continue
        name, equals, value = word.lstrip("+~").partition("=")
        if name in NO_KEYS or value.count("(") != value.count(")") or not re.fullmatch(r"[a-z][\w./]*(\.\*)?", name):
            continue
        if equals and (CONF / name).is_dir():
            named = [c for c in re.split(r"[,|]", value.strip("[]")) if c and not c.endswith(("NAME", "..."))]
            found += (
                [word]
                if set(named) - OF_A_PROJECT - set(choices(name)) - {choice.split("/", 1)[1] for choice in own}
                else []
            )
        elif equals or (name.split(".")[0] in (*GROUPS, "hydra") and "." in name):
            found += [word] if name.removesuffix(".*") not in known else []
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_key_and_choice_that_a_page_names_exists(name):
    assert unknown(PAGES[name].read_text()) == []


@pytest.mark.parametrize(
    "code",
    [
        "data.widnow=3",
        "model=mpl",
        "`stop.patienc`",
        "callbacks=[default,nois]",
        "modle=mlp",
        "trainer.max_step=3",
    ],
)
def test_a_key_or_choice_that_does_not_exist_is_detected(code):
    assert len(unknown(f"```bash\npython train.py {code}\n```\n" if "=" in code else code)) == 1


def test_every_run_that_a_page_shows_composes():
    for command in {command for block in blocks() for command in block.commands}:
        words = shlex.split(command)
        if words[:2] == ["python", "train.py"] and not {"-m", "--help"} & set(words):
            composed(*(word for word in words[2:] if not word.startswith("--") and word != "job"))


TABLE = re.compile(r"^\| `([\w/]+)=` \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", re.MULTILINE)


def tables() -> list:
    """Group and first column of each table of docs/ whose first heading is `group=`."""
    pages = [page.read_text() for name, page in PAGES.items() if name != "README.md"]
    found = [table for text in pages for table in TABLE.findall(text)]
    return [
        (group, [name for row in rows.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])])
        for group, rows in found
    ]


@pytest.mark.parametrize(("group", "listed"), tables(), ids=[group for group, _ in tables()])
def test_a_table_of_a_group_lists_all_of_its_choices(group, listed):
    shipped = {choice for choice in choices(group) if "/" not in choice} - ({"none"} if group == "sweep" else set())
    assert sorted(listed) == sorted(shipped)


def test_the_course_page_lists_every_lesson_in_order():
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "course.md").read_text(), re.MULTILINE)
    assert rows == [chapter.name for chapter in COURSE]


def slug(heading: str) -> str:
    """A heading's anchor, as MkDocs and GitHub make it."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip())


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_resolves(name):
    page, broken = PAGES[name], []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", PAGES)
def test_every_test_that_a_page_names_exists(name):
    text = PAGES[name].read_text()
    held = re.findall(r"<!-- tested by (\S+)::(\w+) -->", text)
    assert len(held) == text.count("<!--"), "a comment has a different form than: tested by FILE::TEST"
    files = {path for path, _ in held} | set(re.findall(r"\btests/[\w/]+(?:\.\w+)?\b", text))
    assert [path for path in files if not (ROOT / path).exists()] == []
    assert [test for path, test in held if f"def {test}(" not in (ROOT / path).read_text()] == []


def prose(text: str) -> str:
    """Return a page's text with blanks for code, comments, headings, pictures and links to other pages."""
    kinds = (r"^```.*?^```$", r"<!--.*?-->", r"^#[^\n]*$", r"`[^`\n]+`", r"!?\[[^\]]*\]\((?!glossary\.md#)[^)]*\)")
    for kind in kinds:
        text = re.sub(kind, blank, text, flags=re.MULTILINE | re.DOTALL)
    return text


def blank(match: re.Match[str]) -> str:
    """Replace a match by the same number of blanks and lines."""
    return re.sub(r"\S", " ", match[0])


def terms() -> dict[str, str]:
    """Return pattern -> anchor for each term of the glossary."""
    words = re.findall(r"^### (.*)$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    return {r"(?<![\w-])" + word.replace(" ", r"\s") + r"(?:e?s)?(?![\w-])": slug(word) for word in words}


def first_uses(text: str) -> dict[str, tuple[int, int, bool]]:
    """Return anchor -> start and end of the first use of each glossary term, and whether this is a link."""
    plain, found = prose(text), {}
    words = re.sub(r"(?<=\])\(glossary\.md#[\w-]+\)", blank, plain)
    for pattern, anchor in terms().items():
        if first := re.search(pattern, words, re.IGNORECASE):
            linked = re.match(rf"[^\[\]]*\]\(glossary\.md#{anchor}\)", plain[first.end() :]) is not None
            found[anchor] = (first.start(), first.end(), linked)
    return found


@pytest.mark.parametrize(
    "name", [name for name in PAGES if PAGES[name].parent == DOCS and name not in ("glossary.md", "tags.md")]
)
def test_the_first_use_of_a_glossary_term_on_a_page_links_to_the_glossary(name):
    text = PAGES[name].read_text()
    unlinked = {text[a:b]: text[:a].count("\n") + 1 for a, b, linked in first_uses(text).values() if not linked}
    assert unlinked == {}, "term: line"


def mkdocs() -> str | None:
    installed = Path(sys.executable).with_name("mkdocs")
    return str(installed) if installed.exists() else shutil.which("mkdocs")


needs_mkdocs = pytest.mark.skipif(mkdocs() is None, reason="there is no MkDocs here: pip install -e '.[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [mkdocs(), "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@needs_mkdocs
def test_the_site_builds_without_a_warning(site):
    assert {page.stem for page in site.glob("*.html")} - {"404"} == {page.stem for page in DOCS.glob("*.md")}


@needs_mkdocs
@pytest.mark.parametrize("word", ["volume", "features", "data.features", "longest_window", "learning_rate", "lr"])
def test_the_index_of_the_search_has_the_words_of_keys(site, word):
    index = json.loads((site / "search" / "search_index.json").read_text())
    split = re.compile(index["config"]["separator"])
    texts = [re.sub(r"</?\w[^>]*>", " ", section["text"]) for section in index["docs"]]
    assert any(set(split.split(word)) <= set(split.split(text)) for text in texts)


@needs_mkdocs
@needs_browser
@pytest.mark.slow
def test_the_search_finds_keys(site, chromium):
    class Server(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    with ThreadingHTTPServer(("localhost", 0), partial(Server, directory=site)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://localhost:{server.server_port}/index.html")
        for word in ("volume", "features", "longest_window", "data.features"):
            box = page.get_by_role("textbox", name="Search")
            box.fill("")
            box.press_sequentially(word)
            page.locator(".md-search-result__link[href*='/data.html']").first.wait_for(timeout=30_000)
        page.close()
        server.shutdown()


# Code that extends beyond its block and does not scroll, or that is under the copy button.
HIDDEN = """[...document.querySelectorAll('pre > code')].filter(code => {
    const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT), words = [];
    while (texts.nextNode()) {
        const range = document.createRange(); range.selectNodeContents(texts.currentNode);
        words.push(...range.getClientRects());
    }
    const block = code.getBoundingClientRect();
    const button = code.parentElement.querySelector('.md-clipboard, .md-code__nav');
    const under = button && words.some(word => word.right > button.getBoundingClientRect().left);
    return !code.closest('.printed-table') && (under || words.some(word => word.right > block.right));
}).map(code => code.textContent)"""


@needs_mkdocs
@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_the_pages_fit_the_screen_and_load_nothing_from_other_hosts(width, site, chromium):
    page = chromium.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    wide, hidden = [], []
    for file in sorted(site.rglob("*.html")):
        page.goto(file.as_uri())
        page.wait_for_timeout(100)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wide.append(file.name)
        hidden += page.evaluate(HIDDEN)
    page.close()
    assert wide == []
    assert hidden == []
    assert [url for url in asked if not url.startswith("file://")] == []
