"""The magics in a real shell: flags, values, modes, variables, errors."""

from __future__ import annotations

import _thread
import threading
from pathlib import Path

import pytest
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call

from jupyter_llmcache.errors import LLMCacheError, ReplayMissError
from tests.servers.base import Failure
from tests.servers.openai import Reply


@pytest.fixture
def notebook(shell, openai_server, monkeypatch):
    """The extension in a shell; OpenAI is the test server."""
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "made-up")
    shell.run("%load_ext jupyter_llmcache")
    return shell


# --- asking ---


def test_fresh_then_cached(notebook, openai_server):
    """The first answer is fresh, the second the same from the cache, with one request."""
    notebook.run("%llm_cache memory")
    first = notebook.run("%%llm\nhi").value
    second = notebook.run("%llm hi").value
    assert (first.cached, second.cached) == (False, True)
    assert str(first) == str(second) == "answer 1: hi"
    assert len(openai_server.requests) == 1
    assert first.model == "openai:gpt-4o-mini"


@pytest.mark.parametrize("flags", ["--no-stream", "-p use_responses_api=True"])
def test_a_refusal_is_told_in_its_words(notebook, openai_server, flags):
    """The words with which a model refuses stand where the answer would, and are not kept."""
    openai_server.reply = lambda body: Reply(None, refusal="I must not.")
    notebook.run("%llm_cache memory")
    run = notebook.run(f"%%llm {flags}\nhi")
    assert run.value.text == "I must not."
    assert "<p" in run.outputs[-2].html
    assert "I must not." in run.outputs[-2].html
    assert "not stored: refused answer" in run.outputs[-1].text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "calls look(at='<b>')\n\ncalls go()"),
        ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}], "PNG"),
        ([{"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"}], "PNG"),
    ],
)
def test_what_is_no_text_is_told(notebook, content, told):
    """Calls of tools are told in words; a picture is drawn, the same fresh and cached."""
    calls = [("look", {"at": "<b>"}), ("go", {})] if not content else []
    message = AIMessage(content, tool_calls=[tool_call(name=n, args=a, id=n) for n, a in calls])
    notebook.user_ns["m"] = FakeMessagesListChatModel(responses=[message])
    notebook.run("%llm_cache memory")
    fresh, cached = notebook.run("%%llm -m m\nhi"), notebook.run("%%llm -m m\nhi")
    assert (fresh.value.cached, cached.value.cached) == (False, True)
    assert fresh.value.text == told.replace("PNG", "[image/png · 5 bytes]")
    drawn = [[output.html for output in run.outputs[:-1]] for run in (fresh, cached)]
    assert "<b>" not in "".join(drawn[1])
    assert ('<img src="data:image/png;base64,aGVsbG8="' in drawn[1][-1]) == (told == "PNG")
    assert [html for html in drawn[0] if html] == drawn[1]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"additional_kwargs": {"audio": {"id": "a", "transcript": "Hello <b>."}}}, "Hello <b>."),
        ({"additional_kwargs": {"audio": {"id": "a", "data": "aGVsbG8="}}}, "[audio]"),
        (
            {"invalid_tool_calls": [{"name": "f", "args": "{<b>", "id": "1", "error": None}]},
            "calls f, with what is not JSON: {<b>",
        ),
    ],
)
def test_speech_and_broken_calls_are_told(notebook, fields, told):
    """What a model speaks, and a call that cannot be read, is no empty answer."""
    message = AIMessage("", **fields)
    notebook.user_ns["m"] = FakeMessagesListChatModel(responses=[message])
    run = notebook.run("%%llm -m m\nhi")
    assert run.value.text == told
    html = "".join(output.html for output in run.outputs)
    assert "empty" not in html
    assert "<b>" not in html


def test_a_picture_that_may_act_is_not_drawn(notebook):
    """SVG, and what is no base64, stays out of the page."""
    blocks = [
        {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/svg+xml"},
        {"type": "image", "base64": '"><script>x</script>', "mime_type": "image/png"},
        {"type": "image", "url": "https://evil.example/x.png", "mime_type": "image/png"},
    ]
    message = AIMessage([{"type": "text", "text": "See:"}, *blocks])
    notebook.user_ns["m"] = FakeMessagesListChatModel(responses=[message])
    html = "".join(output.html for output in notebook.run("%%llm -m m\nhi").outputs)
    assert "See:" in html
    assert not any(sign in html for sign in ("svg", "<script", "evil"))


def test_the_value_is_the_answer(notebook):
    """The value of a line or a cell is the Answer; -o and _ hold it as well."""
    notebook.run("x = %llm -o y hi?")
    assert notebook.user_ns["x"] is notebook.user_ns["y"]
    assert str(notebook.user_ns["x"]) == "answer 1: hi?"
    notebook.run("%%llm -o z\nho")
    assert notebook.run("z is _, _.text").value == (True, "answer 2: ho")


def test_flags_reach_the_request(notebook, openai_server):
    """System text, temperature, parameters and model stand in the request."""
    notebook.run(
        """%%llm -m openai:gpt-x -s "You're brief." -t 0.5 -p seed=7 -p 'stop=["a b"]' -p user=me
hi"""
    )
    body = openai_server.bodies[0]
    assert body["model"] == "gpt-x"
    assert body["messages"] == [
        {"content": "You're brief.", "role": "system"},
        {"content": "hi", "role": "user"},
    ]
    assert (body["temperature"], body["seed"], body["user"]) == (0.5, 7, "me")
    assert body["stop"] == ["a b"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("0.5", 0.5),
        ("true", True),
        ("False", False),
        ("None", None),
        ("high", "high"),
        ("'\"12\"'", "12"),
        ('{"type":"json_object"}', {"type": "json_object"}),
        ("NaN", "NaN"),
        ("a=b", "a=b"),
    ],
)
def test_parameter_values(notebook, openai_server, text, value):
    """A parameter's value is JSON where it is JSON, a Python constant, or else text."""
    notebook.run(f"%llm -p logit_bias={text} hi")
    body = openai_server.bodies[0]
    assert body.get("logit_bias") == value


def test_interpolation(notebook, openai_server):
    """Variables of the notebook and of a function stand in prompt and system text; --raw not."""
    notebook.run("name = 'Ada'\nd = {'k': [1, 2]}")
    notebook.run("%llm -s 'about {{name}}' {{d['k'][1]}} {name} {{ name }}")
    messages = openai_server.bodies[-1]["messages"]
    assert [m["content"] for m in messages] == ["about Ada", "2 {name} Ada"]
    notebook.run("def ask(name):\n    x = %llm hello {{name}}\n    return x\nr = ask('Bob')")
    assert openai_server.bodies[-1]["messages"][0]["content"] == "hello Bob"
    notebook.run("%%llm --raw\n{{nobody}} {{name}}")
    assert openai_server.bodies[-1]["messages"][0]["content"] == "{{nobody}} {{name}}"


def test_an_answer_in_the_next_prompt(notebook, openai_server):
    """An Answer put into a prompt is its text, and is not looked through again."""
    notebook.run('x = %llm {{"{{"}}name}}\n%llm say: {{x}}')
    assert openai_server.bodies[-1]["messages"][0]["content"] == "say: answer 1: {{name}}"


def test_a_chain_is_asked(notebook, chat_openai):
    """A chain gets the prompt, and the result is the Answer's."""
    from langchain_core.output_parsers import StrOutputParser

    notebook.user_ns["chain"] = chat_openai() | StrOutputParser()
    answer = notebook.run("%llm -m chain hi").value
    assert answer.text == answer.result == "answer 1: hi"


@pytest.mark.parametrize(
    ("flag", "requests"), [("--refresh", 2), ("--no-cache", 2), ("", 1), ("--replay", 1)]
)
def test_modes_of_one_question(notebook, openai_server, flag, requests):
    """A flag sets the mode for one question."""
    notebook.run("%llm_cache memory\n%llm hi")
    notebook.run(f"%llm {flag} hi")
    assert len(openai_server.requests) == requests


def test_replay_sends_nothing(notebook, openai_server):
    """A question that was never recorded is an error in replay, and nothing is sent."""
    notebook.run("%llm_cache memory\n%llm_cache mode replay")
    run = notebook.run("%%llm\nnever asked", check=False)
    assert isinstance(run.error, ReplayMissError)
    assert not openai_server.requests


def test_show_prompt_tells_what_is_attached(notebook, openai_server):
    """--show-prompt shows texts on lines of their own, and pictures and sounds by their kinds."""
    Path("a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    Path("a.txt").write_text("from a file")
    shown = notebook.run("%llm --show-prompt --attach a.png --attach a.txt what?").value
    assert "human:\nwhat?\n[image: image/png]\nfrom a file\n" in str(shown)
    assert not openai_server.requests


def test_show_prompt_sends_nothing(notebook, openai_server):
    """--show-prompt shows the messages and whether the cache has them, and sends nothing."""
    notebook.run("%llm_cache memory\nname = 'Ada'")
    line = "%llm -s system --show-prompt hi {{name}}"
    preview = notebook.run(line).value
    assert [text for _, text in preview.messages] == ["system", "hi Ada"]
    assert not preview.cached
    assert not openai_server.requests
    notebook.run("%llm -s system hi {{name}}")
    assert notebook.run(line).value.cached
    assert len(openai_server.requests) == 1


def test_settings_act_at_once(notebook, openai_server):
    """Settings are read when they are needed."""
    notebook.run("%config LLMCache.openai_model = 'gpt-set'")
    notebook.run("%llm hi")
    assert openai_server.bodies[-1]["model"] == "gpt-set"
    notebook.run("%config LLMCache.model = 'openai:gpt-own'")
    notebook.run("%config LLMCache.format = 'text'")
    answer = notebook.run("%llm hi").value
    assert openai_server.bodies[-1]["model"] == "gpt-own"
    assert answer.format == "text"
    assert notebook.run("%llm -f code hi").value.format == "code"
    assert notebook.run("%llm --stable hi").value.stable


def test_what_is_no_good_answer_is_kept_on_request(notebook, openai_server):
    """A filtered answer is asked for again, and with --keep it is stored."""
    notebook.run("%llm_cache memory")
    openai_server.reply = lambda body: Reply("this much", finish_reason="content_filter")
    for flag, cached in (("", False), ("", False), ("--keep", False), ("", True)):
        assert notebook.run(f"%llm {flag} hi").value.cached is cached
    assert len(openai_server.requests) == 3


# --- choosing a cache ---


def test_choosing(notebook, tmp_path):
    """Memory, a file under any name, any cache object and off are chosen by one line each."""
    assert notebook.run("%llm_cache memory --max-entries 1_000").value.backend == "memory"
    for name in [
        "plain.db",
        "with blank.db",
        "we?ird#1%20.db",
        "O'Brien.db",
        "文件.db",
        "{x}$y.db",
    ]:
        quote = '"' if " " in name else ""
        status = notebook.run(f"%llm_cache sqlite {quote}sub/{name}{quote}").value
        assert (status.backend, status.location) == ("sqlite", f"sub/{name}")
        notebook.run("%llm hi")
        assert (tmp_path / "sub" / name).exists(), name
    assert notebook.run("%llm_cache sqlite").value.location == ".langchain.db"
    assert notebook.run("%llm_cache sqlite --ttl 7d --max-size 1GB --max-entries 9").value
    notebook.run("from langchain_core.caches import InMemoryCache")
    assert notebook.run("%llm_cache use InMemoryCache( maxsize = 5 )").value.backend == "other"
    assert notebook.run("%llm_cache off").value.backend == "off"
    assert notebook.run("%llm_cache").value.backend == "off"


def test_home_is_expanded(notebook, tmp_path, monkeypatch):
    """A leading ~ is the person's home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    notebook.run("%llm_cache sqlite ~/x.db\n%llm hi")
    assert (tmp_path / "home" / "x.db").exists()


def test_mode_and_annotate(notebook):
    """The mode and the line under ordinary cells are set for the session."""
    assert notebook.run("%llm_cache mode refresh").value.mode == "refresh"
    assert notebook.run("%llm_cache").value.mode == "refresh"
    notebook.run("%llm_cache annotate off")
    assert notebook.run("%config LLMCache.annotate\nget_ipython().run_line_magic('llm_cache','')")
    assert not notebook.user_ns["get_ipython"]()._jupyter_llmcache.settings.annotate
    notebook.run("%llm_cache annotate on")
    assert notebook.user_ns["get_ipython"]()._jupyter_llmcache.settings.annotate


@pytest.mark.parametrize(
    "command", ["%llm -h", "%llm --help", "%llm_cache -h", "%%llm -h", "%%llm -h\nx"]
)
def test_help(notebook, command):
    """-h prints the help and asks nobody."""
    run = notebook.run(command)
    assert run.value is None
    assert "--show-prompt" in run.stdout or "annotate" in run.stdout


def test_help_of_every_subcommand(notebook):
    """Each subcommand prints its own help by -h, with its flags."""
    from jupyter_llmcache.commands import subcommands

    for name, subcommand in subcommands("notebook").items():
        out = notebook.run(f"%llm_cache {name} -h").stdout
        assert subcommand.help in " ".join(out.split()), name
        for argument in subcommand.arguments:
            shown = (
                argument.names[-1] if argument.is_flag else argument.metavar or argument.choices[0]
            )
            assert shown in out, name


# --- errors ---


WRONG_USES = [
    ("%llm --modle x hi", "%llm has no flag --modle. Did you mean '--model'?"),
    ("%%llm --frmat text\nhi", "%%llm has no flag --frmat. Did you mean '--format'?"),
    ("%llm -t hot hi", "'hot' is not a number"),
    ("%llm -f md hi", "--format cannot be 'md'"),
    ("%llm -p seed hi", "'seed' is not of the form NAME=VALUE"),
    ("%llm -p 2=x hi", "'2=x' is not of the form NAME=VALUE"),
    ('%llm -p x={"a": 1} hi', "the value of x begins as JSON does and is not JSON"),
    ("%llm -s 'open hi", "the quote in 'open is not closed"),
    ("%llm -o 2x hi", "-o 2x: this is not a name for a variable"),
    ("%llm -o if hi", "-o if: this is not a name for a variable"),
    ("%llm --refresh --replay hi", "--refresh and --replay exclude each other"),
    ("%llm --diff hi", "--diff compares columns. Give -m more than once, or --vary"),
    ("%llm -c --after x hi", "--after and --continue exclude each other"),
    ("%llm_cache mode auto --allow-web", "--allow-web goes with mode replay alone"),
    ("%llm_cache use", "%llm_cache use lacks its expression"),
    ("%llm_cache use 1 / 0", "%llm_cache use: 1 / 0 raised ZeroDivisionError"),
    ("%llm_cache use 3", "an int is not a LangChain cache"),
    ("%llm_cache sqlite {x}", "{x} is not replaced by a variable here. Write {{x}}"),
    ("%llm_cache sqlite {{In}}", "{{In}}: a list is not a path"),
    ("%llm", "the prompt is empty. Write it behind %llm, or below %%llm"),
    ("%llm -t 0", "the prompt is empty"),
    ("%%llm\n  \n", "the prompt is empty"),
    ("%%llm", "the prompt is empty"),
    ("%%llm gpt-4o\nhi", "%%llm takes only flags on its first line, and there is 'gpt-4o'"),
    ("%llm hi {{typo}}", "{{typo}}: there is no variable 'typo'"),
    ("%llm -m nobody hi", "-m nobody: there is no variable of this name"),
    ("%llm_cache sqlit", "%llm_cache has no subcommand 'sqlit'. Did you mean 'sqlite'?"),
    ("%llm_cache zzz", "%llm_cache has no subcommand 'zzz'. It has "),
    ("%llm_cache sqlite --readonly", "Did you mean '--read-only'?"),
    ("%llm_cache sqlite my file.db", "%llm_cache sqlite does not take 'file.db'"),
    ("%llm_cache sqlite 'open", "the quote in 'open is not closed"),
    ("%llm_cache sqlite --max-size big", "'big' is not a size"),
    ("%llm_cache memory --max-entries none", "'none' is not a whole number over zero"),
    ("%llm_cache memory file.db", "%llm_cache memory does not take 'file.db'"),
    ("%llm_cache mode replya", "mode cannot be 'replya'. Did you mean 'replay'?"),
    ("%llm_cache mode", "%llm_cache mode lacks its value. Choose one of auto, replay"),
    ("%llm_cache annotate maybe", "annotate cannot be 'maybe'"),
    ("%llm_cache use", "%llm_cache use lacks its expression"),
    ("%llm_cache use nobody", "%llm_cache use: nobody raised NameError"),
    ("%llm_cache export", "%llm_cache export lacks its PATH"),
    ("%llm_cache sqlite {x}", "{x} is not replaced by a variable here. Write {{x}}"),
    ("%llm_cache sqlite $x", "$x is not replaced by a variable here. Write {{x}}"),
    ("%llm_cache sqlite {{x}}", "{{x}}: there is no variable 'x'. Define it first"),
    ("%llm_cache use 3", "an int is not a LangChain cache"),
    ("%llm_cache sqlite --ttl 7", "--ttl: '7' is not a duration. Write one such as 30s"),
    ("%llm_cache sqlite {{In}}", "{{In}}: a list is not a path. Give the path of a file"),
    ("%llm_cache list --sort", "--sort lacks its value. Write --sort recent"),
    ("%llm_cache check a.ipynb", "It works in a shell only: python -m jupyter_llmcache check"),
    ("%llm -m demo --diff hi", "--diff compares columns. Give -m more than once, or --vary"),
    ("%llm_cache off now", "%llm_cache off does not take 'now'"),
]


def test_names_as_python_reads_them(notebook):
    """A name typed in another form of Unicode is the variable that Python takes it for."""
    notebook.run("cafe\u0301s = ['a', 'b']")
    notebook.run("%llm -m demo -o re\u0301ponse --each ta\u0301ble=cafe\u0301s {{ta\u0301ble}}?")
    assert notebook.run("[r.messages[0].text for r in re\u0301ponse]").value == ["a?", "b?"]


def test_wrong_use(notebook, openai_server):
    """A wrong use is one clear line, the cell failed, and nothing was sent."""
    for cell, message in WRONG_USES:
        run = notebook.run(cell, check=False)
        assert isinstance(run.error, LLMCacheError), cell
        assert message in str(run.error)
        shown = [line for line in run.seen.splitlines() if line.strip()]
        assert len(shown) == 1, run.seen
    assert not openai_server.requests


def test_a_provider_error_is_one_line(notebook, openai_server):
    """A provider's failure is one line, nothing is kept, and %tb shows the cause."""
    from tests.servers.openai import server_error

    notebook.run("%llm_cache memory")
    openai_server.fail(server_error())
    run = notebook.run("%%llm -p max_retries=0\nhi", check=False)
    assert "openai:gpt-4o-mini: the provider failed (HTTP 500)" in str(run.error)
    assert "Traceback" not in run.seen
    assert "InternalServerError" in notebook.run("%tb", check=False).seen
    openai_server.recover()
    assert not notebook.run("%llm -p max_retries=0 hi").value.cached


def test_dollar_and_brace_in_a_flag_line(notebook, openai_server):
    """IPython's own expansion of $x and {x} does not touch the magics' lines."""
    notebook.run("x = 'expanded'")
    notebook.run("%llm -s '$x {x}' $x {x}")
    assert [m["content"] for m in openai_server.bodies[0]["messages"]] == ["$x {x}", "$x {x}"]


# --- what a notebook has beside its variables ---


def test_inputs_outputs_and_the_last_error(notebook, openai_server, monkeypatch):
    """{{In[n]}}, {{Out[n]}} and {{Err}} stand in a prompt, secrets out."""
    monkeypatch.setenv("MY_TOKEN", "hush-hush-hush")
    run = notebook.run("%llm {{Err}}", check=False)
    assert "{{Err}}: nothing has failed yet" in str(run.error)
    notebook.run("40 + 2")
    number = len(notebook.user_ns["In"]) - 1
    notebook.run("import os\nraise ValueError('my ' + os.environ['MY_TOKEN'])", check=False)
    notebook.run(f"%llm {{{{In[{number}]}}}} {{{{Out[{number}]}}}} {{{{Err}}}} what is wrong?")
    sent = openai_server.bodies[-1]["messages"][0]["content"]
    assert sent.startswith("40 + 2 42 Traceback")
    assert sent.endswith("ValueError: my … what is wrong?")
    assert "hush" not in sent
    notebook.run("import json; json.loads('{')", check=False)
    notebook.run("%llm {{Err}} why?")
    sent = openai_server.bodies[-1]["messages"][0]["content"]
    assert 'File "notebook cell", line 1' in sent
    assert 'File "json/decoder.py", line' in sent
    notebook.run("Err = 'mine'\n%llm {{Err}}")
    assert openai_server.bodies[-1]["messages"][0]["content"] == "mine"


def test_code_goes_into_the_next_cell(notebook, openai_server):
    """-f code --next puts the answer's code into a new cell below, and runs nothing."""
    openai_server.reply = lambda _: "Here:\n\n```python\nprint(1)\n```"
    notebook.run("%llm -f code --next write it")
    assert notebook.rl_next_input == "print(1)"


def test_the_status_says_what_to_do_next(notebook):
    """A bare %llm_cache says three things to do next, without a cache and with one."""
    assert len(notebook.run("%llm_cache").value.next_steps) == 3
    assert "%llm -m demo" in notebook.run("%llm_cache").seen
    notebook.run("%llm_cache memory")
    assert "%llm_cache export" in notebook.run("%llm_cache").seen
    assert "%llm_cache export" not in notebook.run("%llm_cache mode auto").seen


def test_models_tells_what_can_be_named(notebook, monkeypatch):
    """%llm_cache models lists variables, demo and providers, and which of them lack a key."""
    from jupyter_llmcache.commands.local import Demo

    notebook.user_ns["mine"] = Demo()
    table = notebook.run("%llm_cache models").value
    states = {row[0]: row[2] for row in table}
    kinds = [state.split()[0] for state in states.values()]
    assert kinds == sorted(kinds, key=("ready", "set", "%pip").index)
    assert "%pip install langchain-google-genai" in str(table)
    assert states["mine"] == states["demo"] == states["openai:gpt-4o-mini"] == "ready"
    assert states["anthropic:MODEL"] == "set ANTHROPIC_API_KEY"
    assert states["groq:MODEL"] == "%pip install langchain-groq"


def test_a_path_may_be_a_variable(notebook, tmp_path):
    """A path that is nothing but {{name}} is the variable's value."""
    notebook.user_ns["where"] = tmp_path / "by name.db"
    assert notebook.run("%llm_cache sqlite {{where}}").value.location.endswith("by name.db")


def test_memory_keeps_what_it_holds(notebook, openai_server):
    """%llm_cache memory again, also after off and another cache, keeps the answers; --new not."""
    notebook.run("%llm_cache memory\n%llm hi")
    notebook.run("%llm_cache memory")
    assert notebook.run("%llm hi").value.cached
    notebook.run("%llm_cache off\n%llm_cache sqlite x.db\n%llm_cache memory --max-entries 5")
    assert notebook.run("%llm hi").value.cached
    assert len(openai_server.requests) == 1
    notebook.run("%llm_cache memory --new")
    assert not notebook.run("%llm hi").value.cached


# --- streams ---


def test_streams_tell_their_tokens(notebook, openai_server):
    """A stream behind a base URL asks for its tokens; a server that refuses is asked without."""
    answer = notebook.run("%%llm\nhi").value
    assert answer.usage["total_tokens"] > 0
    assert openai_server.bodies[-1]["stream_options"] == {"include_usage": True}
    refusal = Failure(400, {"error": {"message": "unknown field stream_options"}})
    openai_server.fail(refusal, times=1)
    assert notebook.run("%%llm\nho").value.text
    assert "stream_options" not in openai_server.bodies[-1]


def test_a_stopped_stream_keeps_what_came(notebook, openai_server):
    """Stopping by hand is one line; what had come is _ and stands on the page."""
    openai_server.reply = lambda _: "word " * 50
    openai_server.tokens_per_s = 10
    timer = threading.Timer(1.0, _thread.interrupt_main)
    timer.start()
    run = notebook.run("%%llm -o x\nhi", check=False)
    timer.join()
    assert isinstance(run.error, KeyboardInterrupt)
    assert notebook.user_ns["_"].text.startswith("word word")
    assert notebook.user_ns["x"] is notebook.user_ns["_"]
    assert any(text.startswith("word word") for text in run.texts)
    assert "stopped by hand after" in run.stdout
    assert len(run.stdout.strip().splitlines()) == 1
