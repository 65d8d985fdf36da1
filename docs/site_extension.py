"""What the site needs beyond Sphinx: pictures, formulas, and links of included files.

- The directive ``picture`` runs Python code that binds `axes`, and shows the code and the picture.
- The directive ``terminal`` runs a command and shows what it prints.
- Formulas become MathML, which browsers draw without a script from another host.
- Files of the repository that a page includes keep their links.
- Links to other projects come from a list of names in conf.py.
- Examples in the command's help stay code.
"""

import hashlib
import html
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import Any

import matplotlib as mpl
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parent.parent

mpl.use("svg")

# ---------------------------------------------------------------- pictures

LIGHT = {"svg.hashsalt": "invdecay"}  # the same picture is the same bytes
DARK = {
    **LIGHT,
    **dict.fromkeys(
        ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"),
        "#ced6dd",
    ),
    "grid.color": "#808080",
}


def svg_of(code: str, rc: dict[str, Any]) -> bytes:
    """Run `code` and return the figure of its `axes` as SVG."""
    names: dict[str, Any] = {}
    with mpl.rc_context(rc):
        exec(code, names)
        figure = names["axes"].figure
        figure.set_size_inches(5.6, 3.6)  # legible on a phone, where it is shown smaller
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    return svg.getvalue()


class Picture(SphinxDirective):
    """Show Python code and the picture that it draws, for the light and the dark scheme."""

    required_arguments = 1  # the text for those who do not see the picture
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the code and both pictures."""
        code = "\n".join(self.content)
        shown: list[nodes.Node] = [nodes.literal_block(code, code, language="python")]
        folder = Path(self.env.app.outdir, "_images")
        folder.mkdir(parents=True, exist_ok=True)
        for scheme, rc in ("light", LIGHT), ("dark", DARK):
            svg = svg_of(code, rc)
            name = f"{hashlib.sha256(svg).hexdigest()[:16]}.svg"
            (folder / name).write_bytes(svg)
            source = "../" * self.env.docname.count("/") + f"_images/{name}"
            text = html.escape(self.arguments[0])
            image = f'<img class="only-{scheme} picture" alt="{text}" src="{source}">'
            shown.append(nodes.raw("", f"<p>{image}</p>", format="html"))
        return shown


class Terminal(SphinxDirective):
    """Show a command line and what it prints."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Run the command and return both as one block."""
        command = self.arguments[0]
        name, *options = shlex.split(command)
        run = subprocess.run(
            [sys.executable, "-m", name, *options],
            # Browsers draw the dots of a finer drawing wider than letters.
            env={**os.environ, "COLUMNS": "68", "PYTHONIOENCODING": "ascii", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            encoding="ascii",
        )
        if run.returncode:
            raise self.error(f"{command}: {run.stderr}")
        lines = textwrap.wrap(command, 60, break_on_hyphens=False, subsequent_indent="    ")
        text = "$ " + " \\\n".join(lines) + f"\n{run.stdout}"
        return [nodes.literal_block(text, text, language="console")]


# ---------------------------------------------------------------- formulas


def visit_math(translator: Any, node: nodes.math) -> None:
    """Write an inline formula."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_displaymath(translator: Any, node: nodes.math_block) -> None:
    """Write a formula on a separate line."""
    formula = tex2mathml(node.astext().strip(), as_block=True)
    translator.body.append(f'<div class="formula">{formula}</div>\n')
    raise nodes.SkipNode


# ---------------------------------------------------------------- links


def keep_links(app: Sphinx, path: Path, docname: str, content: list[str]) -> None:
    """Let the relative links of an included file of the repository lead where they led."""
    included = (Path(app.srcdir) / path).resolve()
    if not included.is_relative_to(ROOT) or included.is_relative_to(app.srcdir):
        return

    def moved(link: re.Match[str]) -> str:
        image, text, target, anchor = link.groups()
        file = (included.parent / target).resolve()
        if not file.is_relative_to(ROOT) or not file.exists():
            return link.group()  # the build complains about it
        inside = file.relative_to(ROOT)
        if image:
            return f"![{text}](../{inside})"
        if file.is_relative_to(app.srcdir):
            return f"[{text}]({file.relative_to(app.srcdir)}{anchor or ''})"
        return f"[{text}]({app.config.site_repository}/{inside}{anchor or ''})"

    pattern = r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s#]+)(#[^)\s]*)?\)"
    content[0] = re.sub(pattern, moved, content[0])


def write_inventories(app: Sphinx, config: Any) -> None:
    """Write the inventories that intersphinx reads, from the names in conf.py."""
    folder = Path(app.doctreedir)
    folder.mkdir(parents=True, exist_ok=True)
    for project, (url, names) in config.site_elsewhere.items():
        header = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        header += "# The remainder of this file is compressed using zlib.\n"
        lines = "".join(f"{name}\n" for name in names)
        path = folder / f"{project}.inv"
        path.write_bytes(header.encode() + zlib.compress(lines.encode()))
        config.intersphinx_mapping[project] = (url, str(path))


# ---------------------------------------------------------------- the command


def examples_as_code(app: Sphinx, context: Any, lines: list[str]) -> None:
    """Show the examples below a command's help as code; sphinx-click makes them prose."""
    lines.clear()
    for paragraph in inspect.cleandoc(context.command.epilog or "").split("\n\n"):
        if paragraph.startswith("\b\n"):  # click's mark of text that keeps its lines
            code = textwrap.dedent(paragraph.removeprefix("\b\n"))
            lines += [".. code-block:: sh", "", *textwrap.indent(code, "   ").splitlines(), ""]
        else:
            lines += [*paragraph.splitlines(), ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register all of it with Sphinx."""
    app.add_directive("picture", Picture)
    app.add_directive("terminal", Terminal)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_displaymath, None))
    app.add_config_value("site_repository", "", "env")
    app.add_config_value("site_elsewhere", {}, "env")
    app.connect("config-inited", write_inventories, priority=100)  # before intersphinx looks
    app.connect("include-read", keep_links)
    app.connect("sphinx-click-process-epilog", examples_as_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def draw_for_readme() -> None:
    """Draw the picture of the first page once more, as files that the README shows."""
    page = (Path(__file__).parent / "index.md").read_text()
    code = re.search(r"^```{picture}[^\n]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert code is not None
    for scheme, rc in ("light", LIGHT), ("dark", DARK):
        path = Path(__file__).parent / "_static" / f"schedule-{scheme}.svg"
        path.write_bytes(svg_of(code[1], rc))


if __name__ == "__main__":
    draw_for_readme()
