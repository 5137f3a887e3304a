"""What one function's code says: its source, the names it reads, the names it only counts in."""

from __future__ import annotations

import ast
import dis
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType

from .canonical import IndescribableError

#: Methods that only put something into a container.
_GATHERING = frozenset({"add", "append", "appendleft", "extend", "update"})

_OWN_PACKAGE = __name__.partition(".")[0]
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")


def is_users_module(name: str) -> bool:
    """Whether a module was written by the user: a notebook, a script, a file beside them."""
    if name.partition(".")[0] in (_OWN_PACKAGE, "builtins"):
        return False
    if name == "__main__":
        return True
    module = sys.modules.get(name)
    if module is None:
        return True
    path = getattr(module, "__file__", None)
    if path is None:
        return not hasattr(module, "__spec__") or module.__spec__ is None
    return not _is_installed(path)


@lru_cache(maxsize=1024)
def _is_installed(path: str) -> bool:
    folders = set(path.replace("\\", "/").split("/"))
    return bool({"site-packages", "dist-packages"} & folders) or path.startswith(_STANDARD_LIBRARY)


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What the code of one function says.

    Attributes:
        source: Its text, without the indentation.
        reads: Names of globals that it reads.
        rebinds: Names of globals and enclosing variables that it assigns to.
        gathers: Names of variables that it only puts something into.
        own_reads: Attributes of ``self`` that it reads for more than to count or to put into.
        own_writes: Attributes of ``self`` that it assigns to, or puts something into.
        own_counts: Attributes of ``self`` that it counts up or down.
    """

    source: str
    reads: frozenset[str]
    rebinds: frozenset[str]
    gathers: frozenset[str]
    own_reads: frozenset[str]
    own_writes: frozenset[str]
    own_counts: frozenset[str]


@lru_cache(maxsize=2048)  # code objects compare by content
def facts_of(code: CodeType) -> CodeFacts:
    """Return what ``code`` says.

    Raises:
        IndescribableError: Its source is not to be had.
    """
    try:
        source = textwrap.dedent("".join(inspect.getsourcelines(code)[0])).rstrip()
    except (OSError, TypeError, IndentationError, SyntaxError) as error:
        raise IndescribableError(f"{code.co_name}, whose source is not to be had,") from error
    if code.co_name == "<lambda>" and source.count("lambda") > 1:
        raise IndescribableError("one of several lambdas in a line")
    instructions = list(_instructions(code))
    uses = _Uses()
    uses.look(source)
    return CodeFacts(
        source=source,
        reads=frozenset(i.argval for i in instructions if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")),
        rebinds=frozenset(
            i.argval for i in instructions if i.opname in ("STORE_GLOBAL", "STORE_DEREF")
        ),
        gathers=frozenset(uses.gathers - uses.reads),
        own_reads=frozenset(uses.own_reads),
        own_writes=frozenset(uses.own_writes),
        own_counts=frozenset(uses.own_counts),
    )


def _instructions(code: CodeType) -> Iterator[dis.Instruction]:
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _instructions(constant)


class _Uses(ast.NodeVisitor):
    """How a function uses variables and its object's attributes."""

    def __init__(self) -> None:
        self.reads: set[str] = set()
        self.gathers: set[str] = set()
        self.own_reads: set[str] = set()
        self.own_writes: set[str] = set()
        self.own_counts: set[str] = set()

    def look(self, source: str) -> None:
        """Visit ``source``; a piece that is no statement of its own, as a lambda, says nothing."""
        try:
            self.visit(ast.parse(source))
        except SyntaxError:
            return

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value
        match call:
            case ast.Call(func=ast.Attribute(value=target, attr=name)) if name in _GATHERING:
                self._put_into(target)
                for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
                    self.visit(argument)
            case _:
                self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        match node.target:
            case ast.Subscript(value=target):
                self._put_into(target)
                self.visit(node.target.slice)
            case ast.Attribute(attr=name) if _is_own(node.target):
                self.own_counts.add(name)
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Attribute) and _is_own(target):
                if _counts_on(target.attr, node.value):
                    self.own_counts.add(target.attr)
                    return
                self.own_writes.add(target.attr)
            else:
                self.visit(target)
        self.visit(node.value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if _is_own(node) and isinstance(node.ctx, ast.Load):
            self.own_reads.add(node.attr)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.reads.add(node.id)

    def _put_into(self, target: ast.expr) -> None:
        match target:
            case ast.Name(id=name):
                self.gathers.add(name)
            case ast.Attribute(attr=name) if _is_own(target):
                self.own_writes.add(name)
            case _:
                self.visit(target)


def _is_own(node: ast.Attribute) -> bool:
    """Whether ``node`` is ``self.x``, ``cls.x``, ``type(self).x`` or ``self.__class__.x``."""
    match node.value:
        case ast.Name(id="self" | "cls"):
            return True
        case ast.Call(func=ast.Name(id="type"), args=[ast.Name(id="self")]):
            return True
        case ast.Attribute(value=ast.Name(id="self"), attr="__class__"):
            return True
    return False


def _counts_on(name: str, value: ast.expr) -> bool:
    """Whether ``value`` is ``self.name + 1`` or the like."""
    match value:
        case ast.BinOp(left=ast.Attribute(attr=attribute) as left, right=ast.Constant()):
            return attribute == name and _is_own(left)
    return False
