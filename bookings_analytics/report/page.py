"""One executed notebook as one HTML page that needs no other file and no internet."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, Final

import vl_convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from bookings_analytics.notebook.renderer import VEGA_LITE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VERSION: Final = "6.4"  # what Altair writes for; JupyterLab's older one is not needed here
_SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"
_STYLE: Final = """
:root { color-scheme: light }
body { font: 16px/1.5 system-ui, sans-serif; color: #262626; background: #fff; margin: 0 }
main { max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
h1, h2, h3 { line-height: 1.2; margin: 2rem 0 0.5rem }
a { color: #00558a }
figure, .wide { margin: 1rem 0; overflow-x: auto }
figure img { max-width: 100%; height: auto }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.5rem 0 }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em }
details { margin: 2rem 0; color: #5c5c5c; font-size: 0.9em }
figure details { margin: 0 }
table { border-collapse: collapse; border: 0; margin: 0.5rem 0; font-size: 0.9em }
th, td { padding: 0.2rem 0.7rem; border: 0; border-bottom: 1px solid #e4e4e4; text-align: left }
.dataframe :is(th, td) { text-align: right }
summary:focus-visible, a:focus-visible { outline: 2px solid #00558a }
@media print {
  details, nav { display: none }
  figure, tr, li { break-inside: avoid }
  h1, h2, h3, h2 + p, h3 + p { break-after: avoid }
}
"""
# The picture stays wherever scripts don't run: in a mail, in print.
_DRAW: Final = """
for (const figure of document.querySelectorAll("figure")) {
  const spec = JSON.parse(figure.querySelector("script").textContent);
  const drawn = document.createElement("div");
  figure.append(drawn);
  vegaEmbed(drawn, spec, spec.usermeta.embedOptions).then(() => {
    figure.querySelector("img").remove();
    figure.querySelector("summary")?.setAttribute("aria-label", "Save this chart");
  });
}
"""


def title_of(notebook: Mapping[str, Any]) -> str:
    """Return a notebook's title: the heading that its first cell starts with."""
    heading: str = notebook["cells"][0]["source"].partition("\n")[0]
    return heading.removeprefix("#").strip()


def charts_of(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List the outputs that are charts, in their order."""
    return [output for output in _outputs(notebook) if _is_chart(output)]


def answer_of(notebook: Mapping[str, Any]) -> str:
    """Return the first paragraph that the notebook wrote in words, as Markdown; empty without one."""
    written = (output["data"]["text/markdown"] for output in _outputs(notebook) if _is_markdown(output))
    paragraph: str = next(written, "").strip().partition("\n\n")[0]
    return paragraph


def page(notebook: Mapping[str, Any]) -> str:
    """Write an executed notebook as a page: its words, tables and charts, with all code folded away at the end."""
    body = "\n".join(part for cell in notebook["cells"] for part in _cell(cell))
    code = "\n\n".join(cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    folded = f"<details><summary>Code of this page</summary><pre><code>{escape(code)}</code></pre></details>"
    scripts = f"<script>{_bundle()}</script>\n<script>{_DRAW}</script>" if charts_of(notebook) else ""
    nav = '<nav aria-label="Report"><a href="index.html">All pages of this report</a></nav>'
    return document(title_of(notebook), f"{nav}\n{body}\n{folded}", scripts)


def document(title: str, body: str, scripts: str = "") -> str:
    """Write a whole HTML document around what its body holds.

    Args:
        title: The title as text.
        body: What is shown, as HTML.
        scripts: Script elements to run after it.
    """
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{scripts}\n</body>\n</html>\n"
    )


def prose(markdown: str) -> str:
    """Write Markdown as HTML; HTML in it is shown as text, since names of customers' lists may be part of it."""
    renderer = IPythonRenderer(escape=True, allow_harmful_protocols=False, exclude_anchor_links=True)
    return str(MarkdownWithMath(renderer=renderer).render(markdown)).replace('.ipynb">', '.html">')


def _outputs(notebook: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", ())]


def _cell(cell: Mapping[str, Any]) -> Iterator[str]:
    if "remove_cell" in cell["metadata"].get("tags", ()):  # nbconvert's name for it: what to change in the notebook
        return
    if cell["cell_type"] == "markdown":
        yield prose(cell["source"])
    elif cell["cell_type"] == "code":
        yield from filter(None, map(_output, cell["outputs"]))


def _output(output: Mapping[str, Any]) -> str:
    if output["output_type"] == "stream":
        return f"<pre>{escape(output['text'])}</pre>"
    data = output["data"]
    if _is_chart(output):
        picture = f'<img src="data:image/png;base64,{data["image/png"].strip()}" alt="{escape(data["text/plain"])}">'
        spec = _for_script(data[VEGA_LITE] | {"$schema": _SCHEMA})
        return f'<figure>{picture}<script type="application/json">{spec}</script></figure>'
    if _is_markdown(output):
        return prose(data["text/markdown"])
    if "text/html" in data:
        return f'<div class="wide" tabindex="0">{data["text/html"]}</div>'
    plain = data.get("text/plain", "").strip()
    return f"<pre>{escape(plain)}</pre>" if plain else ""


def _is_chart(output: Mapping[str, Any]) -> bool:
    return VEGA_LITE in output.get("data", {})


def _is_markdown(output: Mapping[str, Any]) -> bool:
    return "text/markdown" in output.get("data", {})


def _for_script(spec: object) -> str:
    """Write JSON that can neither end the script element it stands in nor begin a comment or another one in it."""
    return json.dumps(spec, ensure_ascii=False).replace("<", "\\u003c")


@cache
def _bundle() -> str:
    """Bundle Vega, Vega-Lite and Vega-Embed as one script, which takes a second."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VERSION))
