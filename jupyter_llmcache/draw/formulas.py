r"""What of a text is a formula, and which TeX of it may be set.

Where one begins: a code span, a link and a price win over ``$``. Whoever writes a formula puts no
blank inside its dollars unless it has a command, no letter or digit beside them unless it is raised
or lowered, and no sentence between them; neighbours count as ASCII letters, so that scripts without
blanks have formulas too.

What reaches a front end's MathJax: every command and environment has to stand on a list of this
module. None of them defines, loads, links, names or styles anything, or takes a length: a page's
MathJax keeps definitions and colours for all formulas of the page, and ``\\[99cm]`` makes a cell of
any height.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from .sanitize import draws_mathml

#: Longer or deeper formulas stand as they were typed: characters, nested groups, rows in all.
MAX_CHARS, MAX_DEPTH, MAX_ROWS = 2_000, 30, 100

_NAMES = (
    # letters
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa varkappa "
    "lambda mu nu xi omicron pi varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi "
    "omega digamma Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega aleph beth gimel "
    "daleth hbar hslash imath jmath ell wp Re Im partial nabla infty emptyset varnothing eth "
    "mho complement forall exists nexists neg lnot top bot angle measuredangle sphericalangle "
    "triangle square Box blacksquare Diamond lozenge blacklozenge bigstar star diamond clubsuit "
    "diamondsuit heartsuit spadesuit sharp flat natural surd prime backprime checkmark dagger "
    "ddagger copyright S P pounds yen "
    # operators
    "sum prod coprod int iint iiint oint bigcup bigcap bigsqcup bigvee bigwedge bigoplus "
    "bigotimes bigodot biguplus pm mp times div cdot ast circ bullet cap cup uplus sqcap sqcup "
    "vee wedge land lor setminus smallsetminus wr oplus ominus otimes oslash odot dotplus "
    "ltimes rtimes amalg intercal bigcirc bigtriangleup bigtriangledown triangleleft "
    "triangleright "
    # relations
    "le leq leqslant ge geq geqslant lt gt ne neq equiv sim simeq approx approxeq cong doteq "
    "propto varpropto ll gg lll ggg prec succ preceq succeq in ni notin owns subset supset "
    "subseteq supseteq subsetneq supsetneq nsubseteq nsupseteq sqsubset sqsupset sqsubseteq "
    "sqsupseteq mid nmid parallel nparallel perp vdash dashv models vDash Vdash nvdash nvDash "
    "asymp bowtie frown smile lesssim gtrsim lessgtr gtrless nless ngtr nleq ngeq nsim ncong "
    "triangleq therefore because vartriangle trianglelefteq trianglerighteq between pitchfork "
    "not colon "
    # arrows
    "to gets leftarrow rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow uparrow "
    "downarrow updownarrow Uparrow Downarrow Updownarrow mapsto longmapsto longleftarrow "
    "longrightarrow longleftrightarrow Longleftarrow Longrightarrow Longleftrightarrow implies "
    "impliedby iff hookleftarrow hookrightarrow leftharpoonup leftharpoondown rightharpoonup "
    "rightharpoondown rightleftharpoons leftrightharpoons nearrow searrow swarrow nwarrow "
    "leadsto rightsquigarrow twoheadrightarrow twoheadleftarrow nrightarrow nleftarrow "
    "nRightarrow nLeftarrow nleftrightarrow circlearrowleft circlearrowright curvearrowleft "
    "curvearrowright xrightarrow xleftarrow "
    # functions
    "arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf injlim ker lg "
    "lim liminf limsup ln log max min Pr projlim sec sin sinh sup tan tanh varinjlim varprojlim "
    "bmod pmod mod pod operatorname "
    # delimiters
    "left right middle big Big bigg Bigg bigl Bigl biggl Biggl bigr Bigr biggr Biggr bigm Bigm "
    "lbrace rbrace lbrack rbrack langle rangle lceil rceil lfloor rfloor lvert rvert lVert "
    "rVert vert Vert lgroup rgroup lmoustache rmoustache ulcorner urcorner llcorner lrcorner "
    "backslash "
    # forms
    "frac dfrac tfrac cfrac binom dbinom tbinom sqrt overline underline overbrace underbrace "
    "overrightarrow overleftarrow overleftrightarrow underrightarrow underleftarrow overset "
    "underset stackrel substack hat widehat tilde widetilde bar vec dot ddot dddot ddddot acute "
    "grave breve check mathring boxed cancel bcancel xcancel phantom hphantom vphantom limits "
    "nolimits sideset ldots cdots vdots ddots dots dotsb dotsc dotsi dotsm dotso atop choose "
    "over brace brack hline hdashline notag nonumber quad qquad enspace thinspace medspace "
    "thickspace negthinspace nobreakspace displaystyle textstyle scriptstyle scriptscriptstyle "
    # fonts
    "mathrm mathbf mathit mathsf mathtt mathcal mathbb mathfrak mathscr mathnormal mathop "
    "mathbin mathrel mathord mathopen mathclose mathpunct mathinner boldsymbol pmb text textrm "
    "textbf textit textsf texttt textnormal mbox rm bf it sf tt cal "
)
_SYMBOLS = r",;:!>{}|%#&_$ /"
_COMMANDS = frozenset(f"\\{name}" for name in [*_NAMES.split(), *_SYMBOLS])
_PLAIN = (
    "align|aligned|Bmatrix|bmatrix|cases|eqnarray|equation|flalign|gather|gathered|matrix|multline|"
    "pmatrix|smallmatrix|split|Vmatrix|vmatrix"
)
#: These take an argument, of columns or their number.
_WITH_COLUMNS = "array|alignat|alignedat|subarray"
_COLUMNS = r"\s*(?:\[[tbc]\]\s*)?\{(?:[lcr|:\s]{1,40}|\d{1,2})\}"


# --- where a formula begins and ends ---

_BEGIN = re.compile(rf"\\begin\{{((?:{_PLAIN}|{_WITH_COLUMNS})\*?)\}}")
#: Raised or lowered beside a word or a number, as in m$^2$ and H$_2$O.
_BESIDE = re.compile(r"\$(?:[\^_](?:\{[^{}$]{1,40}\}|\\[a-zA-Z]+|[-+]?[A-Za-z0-9]|[-+*]))+\$(?!\$)")
_COMMAND = re.compile(r"\\[a-zA-Z]")
_OPENER = re.compile(r"\$\$?(?!\$)|\\\(|\\\[")
#: What is between, and its end; a dollar of another kind ends the search.
_REST = {
    opener: re.compile(rf"((?:(?!{closer})(?:\\.|[^\\$]))*){closer}(?!\$)", re.DOTALL)
    for opener, closer in (("$", r"\$"), ("$$", r"\$\$"), (r"\(", r"\\\)"), (r"\[", r"\\\]"))
}
#: What may stand before a formula and behind it, marks of emphasis apart.
_BEFORE = re.compile(r"(?:\A|[\s(\[{'\"\-/|>=,:;<\\]|[^\x00-\x7f])[*_~]*\Z")
_BEHIND = re.compile(r"[*_~]*(?:\Z|[\s.,;:!?)\]}'\"\-/|<=+>\\]|[^\x00-\x7f]|(?:th|st|nd|rd)\b)")
_NOT_BEHIND = re.compile(r"[(\[:\\*+?{]")
_ADDRESS = re.compile(r"://\S*\Z")

_SAID = re.compile(r"\\(?:text\w*|mbox|math\w+|operatorname\*?)\s*\{[^{}]*\}|\\[a-zA-Z]+")
_FUNCTIONS = re.compile(
    r"(?<![A-Za-z])(?:a?(?:sin|cos|tan)h?|log|ln|exp|max|min|sup|inf|lim|det|gcd|mod|d[a-z])"
    r"(?![A-Za-z])"
)
#: Scripts whose words stand in formulas seldom, and never behind a number.
_SCRIPTS = "\u0400-\u04ff\u0590-\u06ff\u0900-\u0dff\u3040-\u9fff\uac00-\ud7af"
_SENTENCE = re.compile(
    # Two words; or one where nothing is reckoned; or a number with a word, which is a price.
    rf"[A-Za-z]{{2,}}[,;:.]?\s+[A-Za-z]{{2,}}"
    rf"|\A(?=[^=+\-*/^_\\<>]*\Z).*?\s(?:[A-Za-z]{{2,}}|[{_SCRIPTS}])"
    rf"|\A\s*\d.*?(?:\s[A-Za-z]{{2,}}|[A-Za-z]{{3,}}|[{_SCRIPTS}])",
    re.DOTALL,
)
#: What a command leads to; as a formula it is refused whole, so that nothing of it is a link.
_LED_TO = re.compile(r"\\[a-zA-Z]+\{https?://[^{}\s]*\}")
#: No formula holds these.
_FOREIGN = re.compile(r"[`\"]|\]\(|://|\*\*|[=!]~\s")


def add_rules(markdown: MarkdownIt) -> None:
    """Teach ``markdown`` formulas: tokens ``formula`` and ``formula_block`` with the source."""
    markdown.inline.ruler.before("escape", "formula", _inline_rule)
    markdown.block.ruler.before(
        "fence", "formula_block", _block_rule, {"alt": ["paragraph", "reference", "blockquote"]}
    )


def _inline_rule(state: StateInline, silent: bool) -> bool:
    end = _formula_end(state.src, state.pos, state.posMax)
    if end is None:
        return False
    if not silent:
        state.push("formula", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _formula_end(text: str, start: int, limit: int) -> int | None:
    """Return where the formula that begins at ``start`` ends; None where none begins there."""
    if begin := _BEGIN.match(text, start):
        end = text.find(f"\\end{{{begin[1]}}}", start, min(limit, start + MAX_CHARS))
        return None if end < 0 else end + len(begin.group()) - 2
    opener = _OPENER.match(text, start)
    before = text[max(0, start - 200) : start]
    if opener is None or _ADDRESS.search(before):
        return None
    if beside := _BESIDE.match(text, start, limit):
        return beside.end()
    inside = opener.end()
    rest = _REST[opener.group()].match(text, inside, min(limit, inside + MAX_CHARS))
    if rest is None or not _BEFORE.search(before) or not _is_formula(rest[1], opener.group()):
        return None
    behind = text[rest.end() : min(limit, rest.end() + 20)]
    if opener.group().startswith("\\") and _NOT_BEHIND.match(behind):
        return None
    return rest.end() if _BEHIND.match(behind) else None


def _is_formula(body: str, opener: str) -> bool:
    """Return whether ``body`` is no sentence, price, or what brackets with a backslash hold."""
    if not body.strip() or body[-1] in ":/" or _FOREIGN.search(_LED_TO.sub("x", body)):
        return False
    blanks = body[0].isspace() + body[-1].isspace()
    if opener == "$" and (blanks == 1 or (blanks == 2 and not _COMMAND.search(body))):
        return False
    if opener == r"\[" and (len(body) == 1 or body.isdigit()):
        return False
    return not _SENTENCE.search(_FUNCTIONS.sub("x", _SAID.sub(r" \\ ", body)))


def _block_rule(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """A formula that begins a line, ends one, and may hold anything between."""
    start = state.bMarks[first] + state.tShift[first]
    begins = state.src.startswith(("$$", r"\[", r"\begin{"), start)
    if not begins or state.is_code_block(first):
        return False
    end = _formula_end(state.src, start, state.eMarks[last - 1])
    if end is None:
        return False
    line = bisect_left(state.eMarks, end, first)
    inside = (each for each in range(first + 1, line + 1) if not state.isEmpty(each))
    if any(state.sCount[each] < state.blkIndent for each in inside):
        return False
    if state.src[end : state.eMarks[line]].strip():
        return False
    if not silent:
        token = state.push("formula_block", "", 0)
        token.content = state.getLines(first, line + 1, state.blkIndent, False).strip()
        token.map = [first, line + 1]
        state.line = line + 1
    return True


# --- what may be set ---

_TOKEN = re.compile(
    rf"\\begin(?=\s*\{{(?P<begins>{_PLAIN}|(?:{_WITH_COLUMNS})(?=\*?\}}{_COLUMNS}))\*?\}})"
    rf"|\\end(?=\s*\{{(?P<ends>{_PLAIN}|{_WITH_COLUMNS})\*?\}})"
    # A length follows a line's end in brackets.
    r"|\\\\(?:\*?\s*\[)?|\\[a-zA-Z]+|\\.|[{}%#$]|\^\^|\\\Z",
    re.DOTALL,
)
_CLOSES = {"}": "{", r"\right": r"\left"}
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
    """Return the mark, what is inside, and the mark; an environment stands alone."""
    opener = _OPENER.match(formula)
    marks = opener.end() if opener else 0
    end = len(formula) - marks
    return formula[:marks], formula[marks:end], formula[end:]


def _is_harmless(body: str) -> bool:
    groups: list[str] = []
    rows = 0
    for token in _TOKEN.finditer(body):
        sign = token.group()
        if opens := token["begins"] or (sign if sign in _CLOSES.values() else ""):
            groups.append(opens)
        elif opened := token["ends"] or _CLOSES.get(sign):
            if not groups or groups.pop() != opened:
                return False
        elif sign == r"\\":
            rows += 1
        elif sign not in _COMMANDS:
            return False
        if len(groups) > MAX_DEPTH or rows > MAX_ROWS:
            return False
    return not groups


# --- front ends that set no TeX in HTML ---

#: MathJax, as JupyterLab sets it up, writes no numbers beside these.
_NUMBERED = re.compile(r"\\(begin|end)\{(align|equation|gather|multline)\}")


def mathml(formula: str) -> str | None:
    """Return a harmless formula as MathML; None where MathJax is to set it, or nothing can."""
    if not draws_mathml():
        return None
    from math_core import LatexToMathML

    opening, body, _ = _split(formula)
    try:
        return LatexToMathML().convert_with_local_state(
            _NUMBERED.sub(r"\\\1{\2*}", body), displaystyle=opening in ("$$", r"\[", "")
        )
    except Exception:  # noqa: BLE001  # what it cannot set stands as it was typed
        return None
