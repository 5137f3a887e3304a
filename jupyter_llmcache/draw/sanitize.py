"""The last gate before a page: only known tags, attributes, classes and link schemes pass."""

from __future__ import annotations

import os
import re
from functools import cache
from html import escape
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING

from ..text import cut, visible

if TYPE_CHECKING:
    import nh3

#: MathJax reads no formula inside these classes (versions 3 and 2) ...
IGNORE_MATH = "mathjax_ignore tex2jax_ignore"
#: ... but for what stands in these.
READ_MATH = "mathjax_process tex2jax_process"
#: What the environment of a kernel holds where the front end sets no TeX: Google Colab, VS Code.
_WITHOUT_MATHJAX = ("COLAB_RELEASE_TAG", "VSCODE_PID")
#: A frame with a height of its own, which is pulled larger at its corner.
SCROLLS = "max-height:36em;overflow-y:auto"
#: Lines and spaces as they are; JupyterLab breaks a line that is too long inside its words.
WRAPS = "white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere"

LINK_SCHEMES = frozenset({"http", "https", "mailto"})

_TAG_NAMES = (
    "a blockquote br code details div em h1 h2 h3 h4 h5 h6 hr li ol p pre s span strong summary "
    "table tbody td th thead tr ul"
)
_TAGS = frozenset(_TAG_NAMES.split())
#: What math-core writes.
_MATHML_TAG_NAMES = (
    "math mfrac mi mn mo mover mpadded mphantom mroot mrow mspace msqrt mstyle msub msubsup msup "
    "mtable mtd mtext mtr munder munderover"
)
_MATHML_TAGS = frozenset(_MATHML_TAG_NAMES.split())
_MATHML_ATTRIBUTE_NAMES = (
    "accent accentunder display displaystyle form largeop linethickness lspace mathvariant maxsize "
    "minsize movablelimits rspace scriptlevel separator stretchy symmetric"
)
_MATHML_ATTRIBUTES = {*_MATHML_ATTRIBUTE_NAMES.split(), "style"}
_ATTRIBUTES: dict[str, set[str]] = {
    "*": set(),
    "a": {"href"},
    "ol": {"start", "style"},
    "span": {"style"},
    "table": {"style"},
    "td": {"style"},
    "th": {"style"},
    "div": {"style"},
    "pre": {"style"},
    **{tag: {"style"} for tag in ("h1", "h2", "h3", "h4", "h5", "h6", "p", "ul")},
    "details": {"open", "style"},
    **dict.fromkeys(_MATHML_TAGS, _MATHML_ATTRIBUTES),
}
_VALUES: dict[str, dict[str, set[str]]] = {
    "div": {"tabindex": {"0"}, "role": {"group"}, "aria-label": {"table"}},
    "th": {"scope": {"col", "row"}},
}
_STYLE_NAMES = (
    "border border-radius color margin margin-bottom max-height overflow-wrap overflow-x "
    "overflow-y padding padding-left padding-right text-align white-space word-break"
)
_STYLES = frozenset(_STYLE_NAMES.split())
_MATH_CLASSES = {*IGNORE_MATH.split(), *READ_MATH.split()}
_PRE = re.compile(r"(<pre\b[^>]*>)(\n?)(.*?)(</pre>)", re.DOTALL)


def draws_mathml() -> bool:
    """Return whether formulas are set here: the front end does not, and math-core is installed."""
    return (
        any(name in os.environ for name in _WITHOUT_MATHJAX) and find_spec("math_core") is not None
    )


def drawing(html: str) -> str:
    """Return ``html``, made safe, as the one block and the one line that an output is."""
    style = "overflow-x:auto;overflow-wrap:anywhere"
    return f'<div class="{IGNORE_MATH}" style="{style}">{in_one_line(sanitize(html))}</div>'


def text_html(text: str) -> str:
    """Return ``text`` as it is, lines and spaces kept."""
    # A parser drops the first line end.
    return drawing(f'<pre dir="auto" style="{WRAPS}">\n{escape(cut(visible(text)))}</pre>')


def sanitize(html: str) -> str:
    """Return ``html`` with everything removed that is not on the lists of this module."""
    return _cleaner(draws_mathml()).clean(html)


def in_one_line(html: str) -> str:
    """Return ``html`` without line ends; those of ``pre`` are character references.

    Where a notebook becomes Markdown, HTML ends at a blank line, and what follows is read anew.
    """

    def kept(pre: re.Match[str]) -> str:
        opening, first, inside, closing = pre.groups()
        # A parser drops the first line end.
        return f"{opening}{(first * 2 + inside).replace(chr(10), '&#10;')}{closing}"

    return _PRE.sub(kept, html).replace("\n", " ")


@cache
def _cleaner(mathml: bool) -> nh3.Cleaner:
    import nh3
    from pygments.token import STANDARD_TYPES  # type: ignore[import-untyped,unused-ignore]

    code_classes = {name for name in STANDARD_TYPES.values() if name}
    return nh3.Cleaner(
        tags=set(_TAGS | _MATHML_TAGS if mathml else _TAGS),
        attributes=_ATTRIBUTES,
        tag_attribute_values={
            tag: {**_VALUES.get(tag, {}), "dir": {"auto", "ltr", "rtl"}}
            for tag in _TAGS - {"br", "hr"}
        },
        set_tag_attribute_values={"a": {"target": "_blank"}},
        allowed_classes={
            "div": {"highlight", *_MATH_CLASSES},
            "span": code_classes | _MATH_CLASSES,
        },
        filter_style_properties=set(_STYLES),
        url_schemes=set(LINK_SCHEMES),
        link_rel="noopener noreferrer nofollow",
        # Pyodide's nh3, 0.3.4, does not know the option.
        **(
            {"url_relative": "deny"}
            if "url_relative" in str(signature(nh3.Cleaner))
            else {"attribute_filter": _without_relative_link}
        ),
    )


def _without_relative_link(_tag: str, name: str, value: str) -> str | None:
    return None if name == "href" and ":" not in value else value
