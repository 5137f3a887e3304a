"""Words and flags of a magic's line."""

from __future__ import annotations

import pytest

from jupyter_llmcache.commands.parser import Argument, split_flags, words
from jupyter_llmcache.errors import LLMCacheError

ARGUMENTS = (
    Argument(("-m", "--model"), "", "MODEL"),
    Argument(("-s", "--system"), "", "TEXT"),
    Argument(("-p", "--parameter"), "", "NAME=VALUE"),
    Argument(("-f", "--format"), "", choices=("text", "json")),
    Argument(("--raw",), ""),
)


def test_words():
    """Blanks part words, quotes hold them together, and all else is literal."""
    for line, expected in [
        ("a  b\tc", ["a", "b", "c"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        (r'"say \"hi\"" x', ['say "hi"', "x"]),
        (r"'it\'s'", ["it's"]),
        (r'"C:\my files\x.db"', [r"C:\my files\x.db"]),
        (r'"C:\my files\" y', ["C:\\my files\\", "y"]),
        (r"C:\new\table.db \\server\share", [r"C:\new\table.db", r"\\server\share"]),
        ('O\'Brien.db a="b c"', ["O'Brien.db", "a=b c"]),
        ('stop=["a","b"]', ['stop=["a","b"]']),
        ("x='[\"a\", 1]'", ['x=["a", 1]']),
        ('""', [""]),
        ("价格 🙂", ["价格", "🙂"]),
    ]:
        assert [word.text for word in words(line)] == expected


def test_flags_end_at_the_first_other_word():
    """The flags end at the first word that is none, and the rest is as typed."""
    for line, vector, rest in [
        ("", [], ""),
        ("hello world", [], "hello world"),
        ("-m demo  hello -m x ", ["--model=demo"], "hello -m x "),
        (
            "-s 'be brief' --raw -- --raw is a flag",
            ["--system=be brief", "--raw"],
            "--raw is a flag",
        ),
        ("--model=demo 'quoted' text", ["--model=demo"], "'quoted' text"),
        ("-mdemo hi", ["--model=demo"], "hi"),
        ('-m demo "-s" is a flag', ["--model=demo"], '"-s" is a flag'),
        ("-5 degrees?", [], "-5 degrees?"),
        ("- a list", [], "- a list"),
        ("-> arrow", [], "-> arrow"),
        ("-s -m hi", ["--system=-m"], "hi"),
        ("--system=\"a b\" it's 'open", ["--system=a b"], "it's 'open"),
        ("-p user='\"1\"' x", ['--parameter=user="1"'], "x"),
    ]:
        assert split_flags(line, ARGUMENTS, "%llm") == (vector, rest)


def test_intermixed():
    """A subcommand's flags may stand anywhere among its arguments."""
    vector, rest = split_flags("a --raw 'b c' -m x", ARGUMENTS, "%x", intermixed=True)
    assert (vector, rest) == (["--raw", "--model=x", "a", "b c"], "")
    vector, _ = split_flags("-- -a", ARGUMENTS, "%x", intermixed=True)
    assert vector == ["--", "-a"]


def test_faults():
    """A wrong flag is one clear error."""
    for line, message in [
        ("--modle x", "%llm has no flag --modle. Did you mean '--model'?"),
        ("-z x", "%llm has no flag -z"),
        ("--zebra", "%llm -h lists them; text that begins so goes after --"),
        ("-m", "%llm: -m lacks its MODEL"),
        ("--raw=1 x", "%llm: --raw takes no value. Leave =1 out"),
        ("-s 'open text", "the quote in 'open is not closed"),
        ('-s "a"b text', 'the quote in "a"b is not closed, or more follows on it'),
        ("--system='open", "the quote in 'open is not closed"),
    ]:
        with pytest.raises(LLMCacheError) as caught:
            split_flags(line, ARGUMENTS, "%llm")
        assert message in str(caught.value)
