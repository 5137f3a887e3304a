"""What a user wrote counts with its source; what it only counts or gathers does not."""

import builtins
import importlib.util
import itertools
import linecache
import subprocess
import sys
import textwrap
import warnings

import pytest
from langchain_core.messages import HumanMessage

from jupyter_llmcache.errors import NotDescribableError
from jupyter_llmcache.request import describe
from tests.unit.request.sides import openai_model, parrot

HI = [HumanMessage("Hi")]

BEGINNING = """
from typing import Any, Callable, ClassVar
import threading
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field, PrivateAttr
class Base(BaseChatModel):
    @property
    def _llm_type(self): return "base"
    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        text = self.text(messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])
"""

_numbers = itertools.count()


def run_cell(source: str, **space):
    """Run ``source`` as a notebook's cell and return its variables."""
    cell = textwrap.dedent(source)
    file = f"<cell {next(_numbers)}>"
    linecache.cache[file] = (len(cell), None, cell.splitlines(keepends=True), file)
    variables = {"__name__": "__main__", **space}
    exec(compile(cell, file, "exec"), variables)
    return variables


BASE = run_cell(BEGINNING)
NAMES = {name: value for name, value in BASE.items() if not name.startswith("__")}


def key(source: str, make: str = "Mine()", calls: int = 0, **space) -> bytes:
    """Return the key of the model that a cell makes, after ``calls`` answers."""
    variables = run_cell(source, **NAMES, **space)
    model = eval(make, variables)
    for _ in range(calls):
        model.invoke("Hello?")
    return describe(model, HI, None, {}).key


MINE = """
    LIMIT = {limit}
    def helper():
        return {helper}
    class Other:
        word = {word}
    class Mine(Base):
        shout: ClassVar[str] = {shout}
        loud: bool = {loud}
        _tone: str = {tone}
        @property
        def sign(self): return {sign}
        def text(self, messages):
            return helper() + Other.word + self.shout + self._tone + self.sign + "x" * LIMIT
"""
PARTS = {
    "limit": "3",
    "helper": "'a'",
    "word": "'b'",
    "shout": "'c'",
    "loud": "False",
    "tone": "'d'",
    "sign": "'e'",
}


@pytest.mark.parametrize("part", PARTS)
def test_whatever_a_cell_says_of_a_class_counts(part):
    """Its methods, properties, attributes and fields, and the helpers and values that they use."""
    before = key(MINE.format(**PARTS))
    assert key(MINE.format(**PARTS)) == before
    changed = {"limit": "4", "loud": "True"}.get(part, "'z'")
    assert key(MINE.format(**PARTS | {part: changed})) != before


@pytest.mark.parametrize(
    "change",
    [
        "Mine.shout = 'z'",
        "Mine.text = lambda self, messages: 'z'",
        "Mine.sign = property(lambda self: 'z')",
        "Other.word = 'z'",
        "helper.__globals__['LIMIT'] = 9",
    ],
)
def test_what_is_changed_after_the_class_was_made_counts(change):
    """A class is read as it is now."""
    variables = run_cell(MINE.format(**PARTS), **NAMES)
    model = variables["Mine"]()
    before = describe(model, HI, None, {}).key
    assert describe(model, HI, None, {}).key == before
    cell = f"def change(Mine, Other, helper):\n    {change}\n"
    run_cell(cell)["change"](*(variables[name] for name in ("Mine", "Other", "helper")))
    assert describe(model, HI, None, {}).key != before


COUNTERS = {
    "a field": """
        calls: int = 0
        def text(self, m):
            self.calls += 1
            return 'a'
    """,
    "a field by assignment": """
        calls: int = 0
        def text(self, m):
            self.calls = self.calls + 1
            return 'a'
    """,
    "a private attribute": """
        _n: int = 0
        def text(self, m):
            self._n += 1
            return str(self._n)
    """,
    "in a method it calls": """
        _n: int = 0
        def text(self, m):
            self.count()
            return 'a'
        def count(self):
            self._n += 1
    """,
    "a list of prompts": """
        _seen: list = PrivateAttr(default_factory=list)
        def text(self, m):
            self._seen.append(m[0].content)
            return 'a'
    """,
    "counts by prompt": """
        _seen: dict = PrivateAttr(default_factory=lambda: {'x': 0})
        def text(self, m):
            self._seen['x'] += 1
            return 'a'
    """,
    "the last prompt": """
        _last: str = ''
        def text(self, m):
            self._last = m[0].content
            return 'a'
    """,
    "of the class": """
        made: ClassVar[int] = 0
        def text(self, m):
            type(self).made += 1
            return 'a'
    """,
    "of the module": """
        def text(self, m):
            global N
            N += 1
            return 'a'
    """,
    "a list of the module": """
        def text(self, m):
            SEEN.append(m)
            return 'a'
    """,
    "a lock": """
        _lock: Any = PrivateAttr(default_factory=threading.Lock)
        def text(self, m):
            with self._lock, LOCK:
                return 'a'
    """,
}


def mine(body: str) -> str:
    """Return the source of a class of this body."""
    return "class Mine(Base):\n" + textwrap.indent(textwrap.dedent(body), "    ")


@pytest.mark.parametrize("counter", COUNTERS)
def test_what_a_model_only_counts_does_not_count(counter):
    """Asking a model does not change what it is."""
    variables = run_cell(
        mine(COUNTERS[counter]), **NAMES, N=0, SEEN=[], LOCK=BASE["threading"].Lock()
    )
    model = variables["Mine"]()
    before = describe(model, HI, None, {}).key
    model.invoke("Hello?")
    assert describe(model, HI, None, {}).key == before


STATES = {
    "a mood": """
        _mood: str = 'calm'
        def text(self, m): return self._mood
        def annoy(self):
            self._mood = 'angry'
    """,
    "a mood that grows": """
        _mood: str = 'calm'
        def text(self, m): return self._mood
        def annoy(self):
            self._mood += '!'
    """,
    "a seed that is counted on": """
        seed: int = 0
        def text(self, m):
            self.seed += 1
            return str(self.seed)
        def annoy(self):
            self.seed = 7
    """,
    "a memory that the answer is made of": """
        _said: list = PrivateAttr(default_factory=list)
        def text(self, m):
            self._said.append('a')
            return str(self._said)
        def annoy(self):
            self._said.append('b')
    """,
    "its name": """
        def text(self, m): return self.name or ''
        def annoy(self):
            self.name = 'angry'
    """,
    "its tags": """
        def text(self, m): return str(self.tags)
        def annoy(self):
            self.tags = ['angry']
    """,
    "its metadata": """
        def text(self, m): return str(self.metadata)
        def annoy(self):
            self.metadata = {'mood': 'angry'}
    """,
}


@pytest.mark.parametrize("state", STATES)
def test_what_the_answer_is_made_of_counts(state):
    """A field that the answering code reads is part of the question."""
    variables = run_cell(mine(STATES[state]), **NAMES)
    model = variables["Mine"]()
    before = describe(model, HI, None, {}).key
    assert describe(model, HI, None, {}).key == before
    model.annoy()
    assert describe(model, HI, None, {}).key != before


TWINS = {
    "addresses": ("base_url: str = ''\nserver_url: str = ''", "base_url='a'", "server_url='a'"),
    "second address": (
        "base_url: str = 'a'\nserver_url: str = ''",
        "server_url='b'",
        "server_url='c'",
    ),
    "names": ("model: str | None = None\nmodel_id: str | None = None", "model='a'", "model_id='a'"),
}


@pytest.mark.parametrize("twin", TWINS)
def test_fields_that_look_alike_are_told_apart(twin):
    """Which of two fields holds a value counts, for nobody knows what a class makes of it."""
    fields, one, other = TWINS[twin]
    cell = mine(fields + "\ndef text(self, m): return 'a'")
    assert key(cell, f"Mine({one})") != key(cell, f"Mine({other})")


def test_another_default_of_a_users_field_counts():
    """Nothing, as a text and as a truth value, is said in different words."""
    cell = mine("word: Any = {default!r}\ndef text(self, m): return str(self.word)")
    assert len({key(cell.format(default=default)) for default in (False, "", [])}) == 3


def test_a_function_in_a_field_counts_with_its_source():
    """Two models that answer by other functions differ."""
    cell = """
        def reply(text): return {body}
        class Mine(Base):
            reply: Callable
            def text(self, messages): return self.reply("a")
    """
    keys = [
        key(cell.format(body=body), "Mine(reply=reply)") for body in ("text", "text", "text * 2")
    ]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (
            mine(
                """
                _it: Any = PrivateAttr(default_factory=object)
                def text(self, m): return str(self._it)
                """
            ),
            "an object of class object in _it",
        ),
        (
            "PIPE = object()\nclass Mine(Base):\n    def text(self, m): return str(PIPE)",
            "an object of class object in PIPE",
        ),
        (
            "a, b = lambda: 1, lambda: 2\nclass Mine(Base):\n    def text(self, m): return a()",
            "one of several lambdas in a line",
        ),
    ],
)
def test_what_a_class_is_made_of_and_cannot_be_read_is_refused(cell, reason):
    """The reason names it."""
    with pytest.raises(NotDescribableError, match=reason):
        key(cell)


def test_a_class_without_source_is_refused():
    """Code that was typed nowhere cannot be told from other code."""
    variables = dict(NAMES, __name__="__main__")
    exec("class Mine(Base):\n    def text(self, m): return 'a'\n", variables)
    with pytest.raises(NotDescribableError, match="text, whose source is not to be had"):
        describe(variables["Mine"](), HI, None, {})


def test_a_class_with_fields_alone_needs_no_source():
    """Another default of a provider's class is a value like any other."""
    variables = {"__name__": "__main__", "Base": type(openai_model("http://127.0.0.1:9"))}
    exec("class Mine(Base):\n    seed: int = 1\n", variables)
    assert describe(variables["Mine"](api_key="sk-x"), HI, None, {}).model == "openai:gpt-3.5-turbo"


def test_a_module_beside_the_notebook_counts_with_its_source(tmp_path, monkeypatch):
    """A file that is edited and loaded again is the user's as well."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    keys = []
    for word in ("a", "a", "another"):
        path = tmp_path / "own_models.py"
        text = f"class Mine(Base):\n    def text(self, m): return {word!r}\n"
        path.write_text(f"from {__name__} import NAMES\nglobals().update(NAMES)\n{text}")
        linecache.checkcache(str(path))
        spec = importlib.util.spec_from_file_location("own_models", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "own_models", module)
        monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__, builtins))
        spec.loader.exec_module(module)
        keys.append(describe(module.Mine(), HI, None, {}).key)
    assert keys[0] == keys[1] != keys[2]


def test_an_own_class_is_described_without_a_warning():
    """Reading a class touches nothing deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        describe(parrot(), HI, None, {})


def test_a_cell_run_again_in_a_real_shell_counts_with_its_source():
    """IPython keeps the source of its cells, and a class defined anew is another one."""
    script = """
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    cell = '''
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import HumanMessage
    from jupyter_llmcache.request import describe
    class Mine(BaseChatModel):
        @property
        def _llm_type(self): return "mine"
        def _generate(self, messages, stop=None, run_manager=None, **kwargs): return %s
    print(describe(Mine(), [HumanMessage("Hi")], None, {}).key.hex())
    '''
    for body in ("1", "1", "2"):
        shell.run_cell(cell % body).raise_error()
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    one, again, other = done.stdout.split()
    assert one == again != other
