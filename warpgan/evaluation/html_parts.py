"""Elements of the report page. Every word from data goes through ``words``."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from string import Template

from warpgan.evaluation.table_one import Cell

_NUMBER = re.compile(r"[+-]?\d|$")
# Nothing is fetched: not by us, and by this policy not by what a name smuggles in.
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<link rel="icon" href="data:,">
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
<nav aria-label="Contents"><ol>$contents</ol></nav>
</header>
<main>
$sections
</main>
</body>
</html>
""")
_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1360px; padding: 0 16px 48px; background: #fff; color: #1c1c1c;
  font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 28px 0 8px; }
h2 { font-size: 1.3rem; margin: 44px 0 8px; padding-top: 8px; border-top: 1px solid #d5d5d5; }
h3 { font-size: 1.05rem; margin: 24px 0 6px; }
h4 { font-size: .95rem; margin: 0 0 2px; }
p { max-width: 84ch; margin: 6px 0 10px; }
nav ol { margin: 4px 0; padding: 0; list-style: none; }
nav li { display: inline-block; margin: 0 14px 6px 0; }
a { color: #0b57a4; }
.box { overflow-x: auto; margin: 10px 0 14px; max-width: 100%; }
table { border-collapse: collapse; font-size: .84rem; line-height: 1.3;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 5px 9px; text-align: right; vertical-align: top; border-bottom: 1px solid #e2e2e2;
  white-space: nowrap; }
thead th { border-bottom: 1px solid #888; vertical-align: bottom; white-space: normal;
  min-width: 8ch; }
thead th.group { text-align: left; border-bottom: 1px solid #bbb; }
th[scope=row], th.corner { text-align: left; position: sticky; left: 0; background: #fff;
  z-index: 1; padding-left: 0; }
th.start, td.start { border-left: 1px solid #bbb; }
td.text, th.text { text-align: left; white-space: normal; min-width: 12ch; }
tbody th { font-weight: 600; }
tr.absent th, td.absent { color: #666; font-weight: 400; }
tr.absent .key { display: inline; margin-left: 6px; }
td.absent { text-align: left; font-style: italic; }
.half { display: block; color: #555; font-size: .78rem; font-weight: 400; }
.key { display: block; color: #555; font-size: .78rem; font-weight: 400; }
code { font: .85em/1.4 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: #f4f4f2; padding: 10px 12px; white-space: pre-wrap; margin: 8px 0; }
.note { color: #4a4a4a; font-size: .88rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(310px, 100%), 1fr));
  gap: 22px 28px; margin: 12px 0; }
.plots section { min-width: 0; max-width: 430px; }
svg { display: block; width: 100%; height: auto; font-family: inherit; fill: #1c1c1c; }
dl { margin: 6px 0 14px; font-size: .92rem; }
dt { font-weight: 600; } dd { margin: 0 0 8px; max-width: 84ch; }
.metrics { columns: 2 420px; column-gap: 40px; } .metrics div { break-inside: avoid; }
.tag { background: #fbe9d0; border-radius: 3px; padding: 0 5px; font-size: .8rem;
  font-weight: 400; }
.grid th, .grid td { text-align: center; padding: 3px; border: 0; }
.grid img { display: block; width: 104px; height: auto; }
.grid thead th { max-width: 104px; }
.grid tbody th { white-space: normal; width: 106px; min-width: 106px; max-width: 106px;
  padding-right: 8px; font-weight: 400; font-size: .78rem; overflow-wrap: anywhere; }
.grid small { display: block; }
@media (min-width: 601px) {
  .facts { display: grid; grid-template-columns: 15rem 1fr; gap: 3px 18px; }
  .facts dd { margin: 0; }
}
@media (max-width: 600px) {
  body { padding: 0 12px 32px; }
  .grid img { width: 96px; }
  .grid tbody th { min-width: 76px; width: 76px; font-size: .72rem; }
}
@media print {
  body { max-width: none; font-size: 10pt; padding: 0; }
  nav { display: none; }
  .box { overflow: visible; }
  table { font-size: 6.5pt; } th, td { padding: 2px 3px; }
  th[scope=row], th.corner { position: static; }
  .grid img { width: 64px; }
  tr, svg, .plots section { break-inside: avoid; } h2, h3, h4 { break-after: avoid; }
}
"""


def words(text: object) -> str:
    """Text from data, made harmless."""
    return escape(str(text), quote=True)


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """The whole page.

    Args:
        title: plain words.
        sections: heading in plain words and content as HTML.
    """
    contents, bodies = [], []
    for number, (heading, body) in enumerate(sections, 1):
        contents.append(f'<li><a href="#part-{number}">{words(heading)}</a></li>')
        bodies.append(
            f'<section id="part-{number}" aria-label="{words(heading)}">\n'
            f"<h2>{words(heading)}</h2>\n{body}\n</section>"
        )
    return _PAGE.substitute(
        title=words(title),
        style=_STYLE,
        contents="\n".join(contents),
        sections="\n".join(bodies),
    )


def paragraph(text: str, *, note: bool = False) -> str:
    """A paragraph of plain words."""
    return f'<p class="note">{words(text)}</p>' if note else f"<p>{words(text)}</p>"


def table(head: str, rows: Iterable[str], *, label: str, kind: str = "") -> str:
    """A table in a box of its own that scrolls.

    Args:
        head: rows of the head, HTML.
        rows: of the body, HTML.
        label: read aloud, plain words.
        kind: CSS class of the table.
    """
    body = "\n".join(rows)
    return (
        f'<div class="box" role="region" tabindex="0" aria-label="{words(label)}">\n'
        f'<table class="{kind}"><thead>{head}</thead>\n<tbody>{body}</tbody></table>\n</div>'
    )


def plain_table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, label: str) -> str:
    """A table of plain words; the first column heads the rows, words stand left, numbers right."""
    kinds = [
        ' class="text"' if all(not _NUMBER.match(str(row[place])) for row in rows) else ""
        for place in range(len(heads))
    ]
    kinds[0] = ' class="corner"'
    head = "".join(
        f'<th scope="col"{kind}>{words(text)}</th>' for text, kind in zip(heads, kinds, strict=True)
    )
    lines = []
    for first, *others in rows:
        cells = "".join(
            f"<td{kind}>{words(text)}</td>" for text, kind in zip(others, kinds[1:], strict=True)
        )
        lines.append(f'<tr><th scope="row">{words(first)}</th>{cells}</tr>')
    return table(f"<tr>{head}</tr>", lines, label=label)


def facts(found: Sequence[tuple[str, object]]) -> str:
    """Names and what they are, in plain words: beside each other where there is room."""
    pairs = (f"<dt>{words(name)}</dt><dd>{words(what)}</dd>" for name, what in found)
    return f'<dl class="facts">{"".join(pairs)}</dl>'


def head_words(text: str) -> str:
    """A column's head; long names of nets may break where they have an underscore."""
    return words(text).replace("_", "_<wbr>")


def number_cell(cell: Cell, *, start: bool = False) -> str:
    """One number with its spread below it, bold where it is the clear best.

    Args:
        cell: to print.
        start: whether its column begins a group.
    """
    text = words(cell.text)
    if cell.best:
        text = f"<strong>{text}</strong>"
    if cell.half:
        text += f'<span class="half">± {words(cell.half)}</span>'
    if cell.std:
        text += f'<span class="half">sd {words(cell.std)}</span>'
    return f'<td class="start">{text}</td>' if start else f"<td>{text}</td>"


def plot(heading: str, svg: str) -> str:
    """A plot under its heading."""
    return f"<section><h4>{words(heading)}</h4>\n{svg}</section>"


def plots(drawn: Sequence[str]) -> str:
    """Plots beside each other, as many as fit."""
    inside = "\n".join(drawn)
    return f'<div class="plots">\n{inside}\n</div>'
