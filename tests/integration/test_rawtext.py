"""Prompts reach the model as they were typed."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell

from jupyter_llmcache.jupyter.extension import install_raw_text

HARD_TEXTS = [
    '{"a": {"b": [1, 2]}, "c": "{x}"} and {single}',
    r"$\frac{a}{b}$ costs $5, \begin{x}\nabla\end{x} \\ 100 %",
    "%d %s 50% %time %%bash",
    "'single' \"double\" '''triple''' `back` it's",
    ">>> print(1)\n... x\n>>> y\n",
    "In [1]: x = 1\n   ...: y\nIn [2]: z",
    "    indented\n      more\n\ttab\n",
    "  \n\n  text after blank lines\n\n\n",
    "is this one?\nand this??",
    "print?",
    "-m gpt --refresh is a flag, -t 0 too",
    "-- dashes",
    "你好，世界？ 🙂👩‍👩‍👧 العربية é",
    "trailing blanks   ",
    "!ls\n%%time\n%%llm\n?help",
    "back\\slash \\\nnext",
    "control \x0c \x0b \x1b[31m",
    "\u2028line\u2029par\x85nel",
    "\r\nwindows\r\nends",
]
ONE_LINE_TEXTS = [
    text.strip()
    for text in HARD_TEXTS
    if "\n" not in text and not any(c in text for c in "\x0c\x0b\u2028") and text[0] != "-"
]


@pytest.fixture
def asked(shell, openai_server, monkeypatch):
    """The extension in a shell, with a server that is asked without -m; its last message."""
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.url)
    shell.run("%load_ext jupyter_llmcache")

    def last():
        return openai_server.bodies[-1]["messages"][-1]["content"]

    return last


@pytest.mark.parametrize("head", ["%%llm", "  %%llm -t 0", "%%time\n%%llm", "%%capture\n%%llm"])
def test_cells(shell, asked, head):
    """A cell's prompt reaches the server byte for byte, also under another cell magic."""
    for text in HARD_TEXTS:
        if "\x0c" in text and not head.endswith("-t 0"):
            continue  # IPython's own magics stumble over it after the call
        shell.run(f"{head}\n{text}")
        assert asked() == text.removesuffix("\n")


@pytest.mark.parametrize("form", ["%llm {}", "x = %llm {}", "if True:\n    x = %llm -t 0 {}"])
def test_lines(shell, asked, form):
    """A line's prompt reaches the server byte for byte."""
    for text in ONE_LINE_TEXTS:
        shell.run(form.replace("{}", text, 1))
        assert asked() == text


@pytest.mark.parametrize(
    ("cell", "sent"),
    [
        ("%time %llm why?", "why?"),
        (">>> x = %llm why?", "why?"),
        ("In [3]: %llm why?", "why?"),
        ("y = '''\n%llm no?\n'''\n%llm yes?", "yes?"),
        ("!true \"it's\n%llm after (?", "after (?"),
        ("%llm -- -m is a flag", "-m is a flag"),
        ("for i in range(1):\n    %llm {{i}}?", "0?"),
        ("%llm a {{1}}", "a {{1}}"),
    ],
)
def test_other_lines(shell, asked, cell, sent):
    """A line that IPython reads in an unusual way reaches the server all the same."""
    shell.run(cell)
    assert asked() == sent


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("%llm?", "--show-prompt"), ("%%llm?", "--show-prompt"), ("%llm??", "Source")],
)
def test_help_stays_help(shell, asked, openai_server, cell, shown, monkeypatch):
    """A question mark right behind the magic's name asks for its help."""
    pages = []
    monkeypatch.setattr("IPython.core.page.page", lambda data, *_, **__: pages.append(str(data)))
    shell.run(cell)
    assert shown in pages[0]
    assert not openai_server.requests


def test_help_of_other_things(shell, asked, openai_server):
    """Other lines that end in a question mark stay IPython's."""
    assert "pinfo" in shell.transform_cell("%llm a\nprint?").splitlines()[1]


@pytest.mark.parametrize(
    ("cell", "status"),
    [
        ("%%llm", "incomplete"),
        ("%%llm\nfoo", "incomplete"),
        ("%%llm\nfoo\n\n", "complete"),
        ("%llm why?", "complete"),
    ],
)
def test_terminal_waits_for_the_body(shell, cell, status):
    """A terminal takes a cell for complete when a blank line ends it, as with any cell magic."""
    shell.run("%load_ext jupyter_llmcache")
    assert shell.input_transformer_manager.check_complete(cell)[0] == status


def test_two_shells_and_uninstall(shell):
    """Each shell has its own transformers, and taking them away leaves the shell as it was."""
    other = InteractiveShell()
    managers = [s.input_transformer_manager for s in (shell, other)]
    before = [(list(m.cleanup_transforms), list(m.token_transformers)) for m in managers]
    undo = [install_raw_text(s) for s in (shell, other)]
    for s in (shell, other):
        assert s.transform_cell("x = %llm a?") == "x = get_ipython().run_line_magic('llm', 'a?')\n"
    undo[0]()
    assert "pinfo" in shell.transform_cell("x = %llm a?")
    assert "pinfo" not in other.transform_cell("x = %llm a?")
    undo[1]()
    assert before == [(m.cleanup_transforms, m.token_transformers) for m in managers]
