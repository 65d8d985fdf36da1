"""The documentation site: a strict build, links, docstrings as readers see them, examples."""

import ast
import contextlib
import doctest
import inspect
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import invdecay
import pytest
from support.browser import chromium, look_like
from support.site import DOCS, ROOT, build, run_sphinx

REPOSITORY = "https://github.com/invdecay/invdecay"
# Pages that no table of contents names.
PACKAGE = Path(invdecay.__file__).parent
INTERNAL = {"statistics", "to_html"}  # for other modules of the package
ALONE = {"search.html", "genindex.html", "py-modindex.html"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("docs"))


class Page(HTMLParser):
    """What the tests ask of a page: its links, its anchors and its words."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[tuple[str, dict[str, str | None]]] = []
        self.anchors: set[str] = set()
        self.words: list[str] = []
        self._inside: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {name for key in ("id", "name") if (name := found.get(key))}
        if "href" in found or "src" in found:
            self.links.append((tag, found))
        if tag in ("script", "style", "pre", "code"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.words.append(data)

    @cached_property
    def text(self) -> str:
        """The prose of the page, without code."""
        return " ".join(self.words)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = (path for path in site.rglob("*.html") if "_static" not in path.parts)
    return {path: Page(path) for path in sorted(found)}


# ---------------------------------------------------------------- the strict build

DEFECTS = {
    "[a page](nowhere.md)": "nowhere",
    "[an anchor](glossary.md#nowhere)": "nowhere",
    "![a picture](nowhere.png)": "nowhere.png",
    "{py:func}`invdecay.nowhere`": "invdecay.nowhere",
    "{term}`nowhere`": "nowhere",
    "```{include} ../nowhere.md\n```": "nowhere.md",
    "```{picture} A picture\naxes = nowhere\n```": "nowhere",
    "```{eval-rst}\n.. autofunction:: invdecay.nowhere\n```": "nowhere",
    "```{nowhere}\n```": "nowhere",
}


@pytest.fixture(scope="module")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pages with the configuration of the site, which build without a warning."""
    docs = tmp_path_factory.mktemp("small") / "docs"
    shutil.copytree(DOCS, docs, ignore=shutil.ignore_patterns("__pycache__", "*.md", "recipes"))
    shutil.copy(DOCS / "glossary.md", docs)
    (docs / "index.md").write_text("# Index\n\n```{toctree}\nglossary\n```\n")
    build(docs.parent, docs)
    return docs


@pytest.mark.parametrize("defect", DEFECTS)
def test_one_defect_fails_the_build(small_site, tmp_path, defect):
    docs = shutil.copytree(small_site, tmp_path / "docs")
    with (docs / "index.md").open("a") as page:
        page.write(f"\n{defect}\n")
    run = run_sphinx(docs, tmp_path)
    assert run.returncode != 0
    assert DEFECTS[defect] in run.stderr


def test_a_link_to_a_file_of_the_repository_is_checked(pages):
    """Sphinx cannot look at another host; the files are here."""
    seen = set()
    for page in pages.values():
        for _, link in page.links:
            address = link.get("href") or ""
            if address.startswith(f"{REPOSITORY}/blob/main/"):
                path = unquote(urlsplit(address).path).split("/blob/main/")[1]
                assert (ROOT / path).exists(), f"{page.path.name}: {address}"
                seen.add(path)
    assert "tests/RESULTS.md" in seen


# ---------------------------------------------------------------- links


def test_every_link_within_the_site_leads_somewhere(site, pages):
    count = 0
    for page in pages.values():
        for tag, link in page.links:
            address = urlsplit(link.get("href") or link.get("src") or "")
            state = tag == "a" and "=" in address.fragment  # a schedule of the explorer
            if address.scheme or address.netloc or state or link.get("href") == "#":
                continue
            target = page.path if not address.path else page.path.parent / unquote(address.path)
            where = f"{page.path.relative_to(site)}: {address.geturl()}"
            assert target.exists(), where
            assert target.resolve().is_relative_to(site.resolve()), where
            if address.fragment and target.suffix == ".html":
                assert unquote(address.fragment) in pages[target.resolve()].anchors, where
            count += 1
    assert count > 500


def test_nothing_is_loaded_from_another_host(site, pages):
    for page in pages.values():
        for tag, link in page.links:
            if tag in ("script", "img", "link", "source", "iframe"):
                address = link.get("src") or link.get("href") or ""
                assert not urlsplit(address).netloc, f"{page.path.name}: {address}"
    for sheet in site.rglob("*.css"):
        remote = re.findall(r"(?:url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text())
        assert not remote, sheet


def test_every_page_has_permalinks_neighbours_and_the_repository(site, pages):
    for page in pages.values():
        links = [link for _, link in page.links]
        classes = " ".join(link.get("class") or "" for link in links)
        assert any(link.get("href") == REPOSITORY for link in links), page.path
        if page.path.name in ALONE:
            continue
        assert "headerlink" in classes, page.path
        first = page.path == site / "index.html"
        assert first or "left-prev" in classes, page.path
        last = page.path == site / "changelog.html"
        assert last or "right-next" in classes, page.path


# ---------------------------------------------------------------- docstrings as readers see them


def assigns(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name


def test_every_public_name_is_in_the_reference(site, pages):
    anchors = pages[site / "api.html"].anchors
    names = [f"invdecay.{name}" for name in invdecay.__all__]
    names += ["invdecay.keras.InverseTimeDecay", "invdecay.torch.InverseTimeDecayLR"]
    for module in "storage", "plotting", "dask":
        source = ast.parse((PACKAGE / f"{module}.py").read_text())  # its framework may be missing
        (listed,) = (node.value for node in source.body if assigns(node, "__all__"))
        public = set(ast.literal_eval(listed)) - set(invdecay.__all__)
        names += [f"invdecay.{module}.{name}" for name in public - INTERNAL]
    for name, member in vars(invdecay.InverseTimeDecay).items():
        if not name.startswith("_") and not inspect.ismemberdescriptor(member):
            names.append(f"invdecay.InverseTimeDecay.{name}")
    assert [name for name in names if name not in anchors] == []


@pytest.mark.parametrize(
    "raw",
    [
        r":(?:ref|py|math|func|class|meth|obj|term|doc)(?::\w+)?:",
        r"\.\. \w+::",
        r"\[\w+\]_",
        r"``",
        r"\\(?:frac|mathit|cdot|text)\b",
        r"\{(?:py:\w+|term|repo)\}",
        r"\n\s*-{4,}\s*\n",
        r"<\w+\.\w+ object at 0x",
    ],
)
def test_no_markup_is_left_in_the_text(pages, raw):
    for page in pages.values():
        found = re.search(f".{{0,60}}{raw}.{{0,60}}", page.text)
        assert found is None, f"{page.path.name}: {found.group()}"


def shown_signature(name: str, function: Any) -> str:
    """Return the signature as the reference shows it, without types and blanks."""
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        del parameters[0]
    texts = []
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in texts:
            texts.append("*")
        texts.append(str(parameter.replace(annotation=parameter.empty)))
    return f"{name}({','.join(texts)}"


def test_signatures_have_their_defaults(site):
    html = re.sub(r"<[^>]+>|\s", "", (site / "api.html").read_text())
    shown = html.replace("&#39;", "'").replace("&quot;", '"')
    functions = {name: getattr(invdecay, name) for name in invdecay.__all__}
    functions |= vars(invdecay.InverseTimeDecay)
    for name, member in functions.items():
        function = getattr(member, "__func__", member)
        if not name.startswith("_") and (inspect.isfunction(function) or inspect.isclass(function)):
            assert shown_signature(name, function) in shown
    assert "(*args,**kwargs)" not in shown  # of an adapter whose base class is not imported


def test_formulas_are_formulas(site):
    assert (site / "index.html").read_text().count("<math") == 2


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize("page", ["faq.md"])
def test_examples_give_what_the_page_says(page):
    text = (DOCS / page).read_text()
    blocks = re.findall(r"^```python\n(>>> .*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    parser, names = doctest.DocTestParser(), {}
    example = parser.get_doctest("\n".join(blocks), names, page, page, 0)
    runner = doctest.DocTestRunner(verbose=False)
    assert runner.run(example).failed == 0


def test_the_command_s_page_shows_every_option(site, pages):
    commands = pytest.importorskip("invdecay.cli._commands")
    anchors = pages[site / "command.html"].anchors
    for name, command in commands.group.commands.items():
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert f"cmdoption-invdecay-{name}-{option.lstrip('-')}" in anchors
    assert "\u2013" not in (site / "command.html").read_text()  # a dash for two hyphens


# What each shell answers to "invdecay pl", then Tab, once the lines of the page have run.
SHELLS = {
    "bash": """. ~/.bashrc; COMP_WORDS=(invdecay pl); COMP_CWORD=1
        _invdecay_completion invdecay; echo "${COMPREPLY[@]}" """,
    "zsh": """autoload -Uz compinit; compinit -D; . ~/.zshrc; echo $_comps[invdecay]
        COMP_WORDS="invdecay pl" COMP_CWORD=1 _INVDECAY_COMPLETE=zsh_complete invdecay""",
    "fish": "complete -C 'invdecay pl'",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_completion_page_s_lines_work(shell, tmp_path):
    folder = Path(sys.executable).parent
    if shutil.which(shell) is None or not (folder / "invdecay").exists():
        pytest.skip(f"needs {shell} and the command")
    text = (DOCS / "completion.md").read_text()
    lines = re.search(rf"^## {shell}\n.*?^```sh\n(.*?)^```$", text, re.I | re.M | re.S)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}

    def run(program: str, script: str) -> str:
        command = [program, "-c", script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    run("bash", lines[1])
    assert "plot" in run(shell, SHELLS[shell])


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_screen(browser, site, pages, width):
    look_like(browser, width)
    for path in pages:
        browser.get(path.as_uri())
        shown = browser.execute_script("return document.documentElement.scrollWidth")
        assert shown <= width, path.name


def test_the_formula_is_whole_on_a_phone(browser, site):
    look_like(browser, 320)
    browser.get((site / "index.html").as_uri())
    ends = browser.execute_script(
        "return [...document.querySelectorAll('math')].map((m) => m.getBoundingClientRect().right)"
    )
    assert ends
    assert max(ends) <= 320


def test_search_needs_no_server(browser, site):
    browser.get((site / "search.html").as_uri() + "?q=staircase")
    browser.implicitly_wait(10)
    results = browser.find_elements("css selector", "#search-results li a")
    assert results


# ---------------------------------------------------------------- the sdist


def test_the_sdist_s_documentation_builds(tmp_path):
    backend = pytest.importorskip("scikit_build_core.build")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    if "benchmarks" in project["tool"]["scikit-build"]["sdist"]["exclude"]:
        pytest.skip("the sdist leaves out the benchmarks, which the page on speed includes")
    with contextlib.chdir(ROOT):
        name = backend.build_sdist(str(tmp_path))
    with tarfile.open(tmp_path / name) as archive:
        archive.extractall(tmp_path, filter="data")
    build(tmp_path, tmp_path / name.removesuffix(".tar.gz") / "docs")
