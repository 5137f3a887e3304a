r"""Which TeX may reach a front end's MathJax: what sets a formula, and nothing that acts.

Every command and environment has to stand on a list of this module. None of them defines, loads,
links, names or styles anything, or takes a length: a page's MathJax keeps definitions and colours
for all formulas of the page, and ``\\[99cm]`` makes a cell of any height.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from .sanitize import draws_mathml

if TYPE_CHECKING:
    from math_core import LatexToMathML

#: Longer or deeper formulas stand as they were typed: characters, nested groups, rows in all.
MAX_CHARS, MAX_DEPTH, MAX_ROWS = 2_000, 30, 100

_LETTERS = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa varkappa "
    "lambda mu nu xi omicron pi varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi "
    "omega digamma Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega aleph beth gimel "
    "daleth hbar hslash imath jmath ell wp Re Im partial nabla infty emptyset varnothing eth "
    "mho complement forall exists nexists neg lnot top bot angle measuredangle sphericalangle "
    "triangle square Box blacksquare Diamond lozenge blacklozenge bigstar star diamond clubsuit "
    "diamondsuit heartsuit spadesuit sharp flat natural surd prime backprime checkmark dagger "
    "ddagger copyright S P pounds yen"
)
_OPERATORS = (
    "sum prod coprod int iint iiint oint bigcup bigcap bigsqcup bigvee bigwedge bigoplus "
    "bigotimes bigodot biguplus pm mp times div cdot ast circ bullet cap cup uplus sqcap sqcup "
    "vee wedge land lor setminus smallsetminus wr oplus ominus otimes oslash odot dotplus "
    "ltimes rtimes amalg intercal bigcirc bigtriangleup bigtriangledown triangleleft "
    "triangleright"
)
_RELATIONS = (
    "le leq leqslant ge geq geqslant lt gt ne neq equiv sim simeq approx approxeq cong doteq "
    "propto varpropto ll gg lll ggg prec succ preceq succeq in ni notin owns subset supset "
    "subseteq supseteq subsetneq supsetneq nsubseteq nsupseteq sqsubset sqsupset sqsubseteq "
    "sqsupseteq mid nmid parallel nparallel perp vdash dashv models vDash Vdash nvdash nvDash "
    "asymp bowtie frown smile lesssim gtrsim lessgtr gtrless nless ngtr nleq ngeq nsim ncong "
    "triangleq therefore because vartriangle trianglelefteq trianglerighteq between pitchfork "
    "not colon"
)
_ARROWS = (
    "to gets leftarrow rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow uparrow "
    "downarrow updownarrow Uparrow Downarrow Updownarrow mapsto longmapsto longleftarrow "
    "longrightarrow longleftrightarrow Longleftarrow Longrightarrow Longleftrightarrow implies "
    "impliedby iff hookleftarrow hookrightarrow leftharpoonup leftharpoondown rightharpoonup "
    "rightharpoondown rightleftharpoons leftrightharpoons nearrow searrow swarrow nwarrow "
    "leadsto rightsquigarrow twoheadrightarrow twoheadleftarrow nrightarrow nleftarrow "
    "nRightarrow nLeftarrow nleftrightarrow circlearrowleft circlearrowright curvearrowleft "
    "curvearrowright xrightarrow xleftarrow"
)
_FUNCTIONS = (
    "arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf injlim ker lg "
    "lim liminf limsup ln log max min Pr projlim sec sin sinh sup tan tanh varinjlim varprojlim "
    "bmod pmod mod pod operatorname"
)
_DELIMITERS = (
    "left right middle big Big bigg Bigg bigl Bigl biggl Biggl bigr Bigr biggr Biggr bigm Bigm "
    "lbrace rbrace lbrack rbrack langle rangle lceil rceil lfloor rfloor lvert rvert lVert "
    "rVert vert Vert lgroup rgroup lmoustache rmoustache ulcorner urcorner llcorner lrcorner "
    "backslash"
)
_FORMS = (
    "frac dfrac tfrac cfrac binom dbinom tbinom sqrt overline underline overbrace underbrace "
    "overrightarrow overleftarrow overleftrightarrow underrightarrow underleftarrow overset "
    "underset stackrel substack hat widehat tilde widetilde bar vec dot ddot dddot ddddot acute "
    "grave breve check mathring boxed cancel bcancel xcancel phantom hphantom vphantom limits "
    "nolimits sideset ldots cdots vdots ddots dots dotsb dotsc dotsi dotsm dotso atop choose "
    "over brace brack hline hdashline notag nonumber quad qquad enspace thinspace medspace "
    "thickspace negthinspace nobreakspace displaystyle textstyle scriptstyle scriptscriptstyle"
)
_FONTS = (
    "mathrm mathbf mathit mathsf mathtt mathcal mathbb mathfrak mathscr mathnormal mathop "
    "mathbin mathrel mathord mathopen mathclose mathpunct mathinner boldsymbol pmb text textrm "
    "textbf textit textsf texttt textnormal mbox rm bf it sf tt cal"
)
COMMANDS = frozenset(
    f"{_LETTERS} {_OPERATORS} {_RELATIONS} {_ARROWS} {_FUNCTIONS} {_DELIMITERS} {_FORMS} {_FONTS} "
    "begin end".split()
)
#: A backslash and one of these.
_SYMBOLS = frozenset(r",;:!>{}|\%#&_$ /")
_ENVIRONMENT_NAMES = (
    "align aligned alignat alignedat array Bmatrix bmatrix cases eqnarray equation flalign gather "
    "gathered matrix multline pmatrix smallmatrix split subarray Vmatrix vmatrix"
)
ENVIRONMENTS = frozenset(_ENVIRONMENT_NAMES.split())
#: These take an argument, of columns or their number.
_WITH_COLUMNS = ("array", "alignat", "alignedat", "subarray")
_COLUMNS = re.compile(r"\s*(?:\[[tbc]\]\s*)?\{(?:[lcr|:\s]{1,40}|\d{1,2})\}")

_TOKEN = re.compile(
    r"\\(?P<name>[a-zA-Z]+)|\\(?P<symbol>.)|(?P<mark>[{}%#$]|\^\^)|(?P<lone>\\\Z)", re.DOTALL
)
_LENGTH_FOLLOWS = re.compile(r"\*?\s*\[")
_NAMED = re.compile(r"\s*\{([a-zA-Z]+)\*?\}")

#: What a formula stands between; an environment stands alone.
MARKS = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}
# What only places or colours is taken out, so that the formula itself can be set; what another
# package defines has its usual name.
_LENGTH = r"-?(?:\d+\.?\d*|\.\d+)\s*[a-z]{2}"
_INSTEAD = (
    (re.compile(r"\\bm(?![a-zA-Z])"), r"\\boldsymbol"),
    (re.compile(r"\\(begin|end)\{[dr]cases(\*?)\}"), r"\\\1{cases\2}"),
    (re.compile(r"\\label\s*\{[^{}]*\}"), ""),
    (re.compile(r"\\tag\s*\*?\s*\{([^{}]*)\}"), r"\\qquad(\1)"),
    (re.compile(r"\\(?:text)?color\s*(?:\[\w*\])?\s*\{[^{}\\]*\}"), ""),
    (re.compile(rf"\\hspace\*?\s*\{{\s*{_LENGTH}\s*\}}"), r"\\quad "),
    (re.compile(rf"(?<!\\)((?:\\\\)+)\*?\s*\[\s*{_LENGTH}\s*\]"), r"\1"),
    # A bracket after a line's end is read as a length unless something stands between them.
    (re.compile(r"(?<!\\)((?:\\\\)+)\*?\s*(?=\[)"), r"\1{}"),
)


def harmless(formula: str) -> str | None:
    """Return ``formula`` fit for MathJax; None where it has to be shown as it was typed.

    Labels, colours and lengths are taken out of it, and a tag is set beside it.
    """
    opening, body, closing = _split(formula)
    if len(body) > MAX_CHARS:
        return None
    for pattern, instead in _INSTEAD:
        body = pattern.sub(instead, body)
    return f"{opening}{body}{closing}" if body.strip() and _is_harmless(body) else None


def _split(formula: str) -> tuple[str, str, str]:
    for opening, closing in MARKS.items():
        if formula.startswith(opening):
            return opening, formula[len(opening) : -len(closing)], closing
    return "", formula, ""


def _is_harmless(formula: str) -> bool:
    groups: list[str] = []
    rows = 0
    for token in _TOKEN.finditer(formula):
        name, symbol, mark = token["name"], token["symbol"], token["mark"]
        if name in ("begin", "end"):
            if not _follows_environment(formula, token.end(), groups, begins=name == "begin"):
                return False
        elif name in ("left", "right") or mark in ("{", "}"):
            if not _follows_group(name or mark, groups):
                return False
        elif symbol == "\\":
            rows += 1
            if _LENGTH_FOLLOWS.match(formula, token.end()):
                return False
        elif mark or token["lone"] is not None or (name not in COMMANDS and symbol not in _SYMBOLS):
            return False
        if len(groups) > MAX_DEPTH or rows > MAX_ROWS:
            return False
    return not groups


_CLOSES = {"right": "left", "}": "{"}


def _follows_group(sign: str, groups: list[str]) -> bool:
    if sign not in _CLOSES:
        groups.append(sign)
        return True
    return bool(groups) and groups.pop() == _CLOSES[sign]


def _follows_environment(formula: str, place: int, groups: list[str], *, begins: bool) -> bool:
    named = _NAMED.match(formula, place)
    if named is None or named[1] not in ENVIRONMENTS:
        return False
    # The braces around the name balance each other: what remains is the environment itself.
    if not begins:
        return bool(groups) and groups.pop() == named[1]
    if named[1] in _WITH_COLUMNS and not _COLUMNS.match(formula, named.end()):
        return False
    groups.append(named[1])
    return True


# --- front ends that set no TeX in HTML ---

#: MathJax, as JupyterLab sets it up, writes no numbers beside these.
_NUMBERED = re.compile(r"\\(begin|end)\{(align|equation|gather|multline)\}")


def mathml(formula: str) -> str | None:
    """Return a harmless formula as MathML; None where MathJax is to set it, or nothing can."""
    if not draws_mathml():
        return None
    opening, body, _ = _split(formula)
    try:
        return _converter().convert_with_local_state(
            _NUMBERED.sub(r"\\\1{\2*}", body), displaystyle=opening in ("$$", r"\[", "")
        )
    except Exception:  # noqa: BLE001  # what it cannot set stands as it was typed
        return None


@cache
def _converter() -> LatexToMathML:
    from math_core import LatexToMathML

    return LatexToMathML()
