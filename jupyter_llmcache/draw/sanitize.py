"""The last gate before a page: only known tags, attributes, classes and link schemes pass."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import nh3

#: MathJax reads no formula inside these classes (versions 3 and 2) ...
IGNORE_MATH = "mathjax_ignore tex2jax_ignore"
#: ... but for what stands in these.
READ_MATH = "mathjax_process tex2jax_process"

LINK_SCHEMES = frozenset({"http", "https", "mailto"})

_TAG_NAMES = (
    "a blockquote br code details div em h1 h2 h3 h4 h5 h6 hr li ol p pre s span strong summary "
    "table tbody td th thead tr ul"
)
_TAGS = frozenset(_TAG_NAMES.split())
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
}
_DIRECTIONS = {"auto", "ltr", "rtl"}
_STYLE_NAMES = (
    "color margin overflow-wrap overflow-x padding padding-left padding-right text-align "
    "white-space word-break"
)
_STYLES = frozenset(_STYLE_NAMES.split())
_MATH_CLASSES = {*IGNORE_MATH.split(), *READ_MATH.split()}


def sanitize(html: str) -> str:
    """Return ``html`` with everything removed that is not on the lists of this module."""
    return _cleaner().clean(html)


@cache
def _cleaner() -> nh3.Cleaner:
    import nh3
    from pygments.token import STANDARD_TYPES  # type: ignore[import-untyped,unused-ignore]

    code_classes = {name for name in STANDARD_TYPES.values() if name}
    attribute_values: dict[str, dict[str, set[str]]] = {
        tag: {"dir": _DIRECTIONS} for tag in _TAGS - {"br", "hr"}
    }
    attribute_values["div"]["tabindex"] = {"0"}
    attribute_values["div"]["role"] = {"group"}
    attribute_values["div"]["aria-label"] = {"table"}
    attribute_values["th"]["scope"] = {"col", "row"}
    return nh3.Cleaner(
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        tag_attribute_values=attribute_values,
        set_tag_attribute_values={"a": {"target": "_blank"}},
        allowed_classes={
            "div": {"highlight", *_MATH_CLASSES},
            "span": code_classes | _MATH_CLASSES,
        },
        filter_style_properties=set(_STYLES),
        url_schemes=set(LINK_SCHEMES),
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )
