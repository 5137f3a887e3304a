"""Several answers of one cell: what varies, paid once, interrupted and gone on."""

from __future__ import annotations

import _thread
import json
import random
import re
import threading
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jupyter_llmcache
from jupyter_llmcache.commands.flags import _axis, parse_value, split_values
from jupyter_llmcache.commands.grid import Answers
from jupyter_llmcache.draw import live
from jupyter_llmcache.errors import LLMCacheError
from tests.servers.base import Failure
from tests.servers.openai import Reply, rate_limited, server_error


@pytest.fixture
def notebook(shell, chat_openai):
    """The extension, a memory cache, and two models at a real server."""
    shell.run("%load_ext jupyter_llmcache\n%llm_cache memory")
    shell.user_ns.update(
        a=chat_openai(model="gpt-a"),
        b=chat_openai(model="gpt-b"),
        topics=["cats", "dogs", "a much longer topic that is too long to be its own name"],
        people=[{"age": 36}],
        rows=pd.DataFrame({"x": [1, 2], "first name": ["Ada", "Bob"], "mean": ["m", "n"]}),
        nothing=[],
        text="abc",
    )
    return shell


class Polar:
    """A table as polars has it: it goes through its columns, and gives its rows as dicts."""

    def __len__(self):
        return 2

    def __iter__(self):
        yield [1, 2]

    def to_dicts(self):
        return [{"x": 1}, {"x": 2}]


class Raising:
    """What a person's own class may do."""

    def __len__(self):
        return 1

    def __iter__(self):
        raise RuntimeError("no items")

    def save(self, *_, **__):
        raise OSError("no paper")


def prompts(server):
    return sorted(body["messages"][-1]["content"] for body in server.bodies)


def test_models_side_by_side(notebook, openai_server):
    """-m more than once gives an answer of each; on a re-run all are cached."""
    answers = notebook.run("%%llm -m a -m b\nhi").value
    assert isinstance(answers, Answers)
    assert [answer.coords for answer in answers] == [{"model": "a"}, {"model": "b"}]
    assert sorted(body["model"] for body in openai_server.bodies) == ["gpt-a", "gpt-b"]
    again = notebook.run("%%llm -m a -m b\nhi")
    assert [answer.cached for answer in again.value] == [True, True]
    assert len(openai_server.requests) == 2
    (table,) = [output for output in again.outputs if "<table" in output.html]
    assert "answer" in table.html
    assert not any("LLM call" in text for text in again.texts)


def test_samples_are_entries_of_their_own(notebook, openai_server):
    """Sample 0 is the plain request's entry; more samples pay for what is missing alone."""
    notebook.run("%llm -m a hi")
    answers = notebook.run("%llm -m a --samples 3 hi").value
    assert [answer.coords["sample"] for answer in answers] == [0, 1, 2]
    assert [answer.cached for answer in answers] == [True, False, False]
    assert len({answer.text for answer in answers}) == 3
    notebook.run("%llm -m a --samples 5 hi")
    assert len(openai_server.requests) == 5
    assert len({json.dumps(body, sort_keys=True) for body in openai_server.bodies}) == 1
    with jupyter_llmcache.sample(2):
        message = notebook.user_ns["a"].invoke("hi")
    assert message.text == answers[2].text
    notebook.run("%llm -m a --samples 2 --refresh hi")
    assert len(openai_server.requests) == 7


def test_each_item_of_a_list_a_dict_and_a_table(notebook, openai_server):
    """Each item stands in the prompt; of a row its columns do, and no method."""
    answers = notebook.run("%%llm -m a --each topic=topics\nabout {{topic}}").value
    assert [answer.coords["topic"] for answer in answers] == ["cats", "dogs", 3]
    assert "about dogs" in prompts(openai_server)
    notebook.run("%%llm -m a --each topics\nsay {{topics}}")
    assert "say cats" in prompts(openai_server)
    notebook.run('%%llm -m a --each row=rows\n{{row.x}} {{row["first name"]}} {{row.mean}}')
    assert {"1 Ada m", "2 Bob n"} <= set(prompts(openai_server))
    notebook.user_ns["mixed"] = pd.DataFrame({"age": [36], "height": [1.7]}, index=["Ada"])
    assert notebook.run("%%llm -m a --each mixed\n{{mixed.age}}").value[0].coords["mixed"] == "Ada"
    assert "36" in prompts(openai_server)
    run = notebook.run("%%llm -m a --each row=rows\n{{row.sum}}", check=False)
    assert "has no attribute 'sum'" in str(run.error)
    run = notebook.run("%%llm -m a --each x=people\n{{x.age}}", check=False)
    assert "x, a dict, has no attribute 'age'. Write x[\"age\"]" in str(run.error)
    notebook.user_ns["letters"] = {"c", "b", "a"}
    answers = notebook.run("%%llm -m a --each letter=letters\n{{letter}}").value
    assert [answer.coords["letter"] for answer in answers] == ["a", "b", "c"]
    notebook.user_ns["polar"] = Polar()
    notebook.run("%%llm -m a --each row=polar\nrow {{row.x}}")
    assert {"row 1", "row 2"} <= set(prompts(openai_server))


def test_a_wrong_use_in_python_is_one_line(notebook, openai_server):
    """A sample is a whole number, numpy's too; where takes coordinates that there are."""
    for wrong in (-1, 1.5, "1", None, True):
        with pytest.raises(LLMCacheError, match="is not a whole number of 0 or more"):
            jupyter_llmcache.sample(wrong).__enter__()
    notebook.run(
        "import numpy, jupyter_llmcache as j\nfor k in numpy.arange(3):\n"
        "    with j.sample(k): a.invoke('hi')"
    )
    answers = notebook.run("%llm -m a --samples 3 hi").value
    assert all(answer.cached for answer in answers)
    assert len(openai_server.requests) == 3
    assert [answer.coords for answer in answers.where(sample=2)] == [{"model": "a", "sample": 2}]
    run = notebook.run("_.where(sampel=1)", check=False)
    assert "there is no coordinate 'sampel'. Did you mean 'sample'?" in str(run.error)


def test_without_threads_one_is_asked_after_the_other(notebook, openai_server, monkeypatch):
    """As in Pyodide: all are answered, in order."""

    class Unstartable(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    threads = SimpleNamespace(Lock=threading.Lock, Thread=Unstartable)
    monkeypatch.setattr("jupyter_llmcache.commands.grid.threading", threads)
    notebook.user_ns["kinds"] = ["cats", "dogs", "fish"]
    answers = notebook.run("%%llm -m a --each kind=kinds\nabout {{kind}}").value
    assert [answer.coords["kind"] for answer in answers] == ["cats", "dogs", "fish"]
    assert prompts(openai_server) == ["about cats", "about dogs", "about fish"]


def test_all_that_varies_multiplies(notebook, openai_server):
    """Models, values, items and samples multiply in the order typed."""
    cell = "%%llm -m a -m b --vary temperature=0,0.7 --each topic=topics --samples 2\n{{topic}}"
    answers = notebook.run(cell).value
    assert len(answers) == 2 * 2 * 3 * 2
    assert answers[1].coords == {"model": "a", "temperature": 0, "topic": "cats", "sample": 1}
    assert {body["temperature"] for body in openai_server.bodies} == {0, 0.7}
    chosen = answers.where(model="b", topic="dogs")
    assert len(chosen) == 4
    frame = answers.to_pandas()
    assert list(frame.columns[:4]) == ["model", "temperature", "topic", "sample"]
    assert {"text", "cached", "wall_s", "saved_s", "tokens", "cost", "key", "error"} <= set(frame)
    assert len(openai_server.requests) == 24
    assert "cats" in str(answers)
    with pytest.raises(LLMCacheError, match="Did you mean 'topic'"):
        answers.where(topc="x")


def test_equal_questions_are_paid_once(notebook, openai_server):
    """Items that are equal make one request."""
    openai_server.delay_s = 0.1
    notebook.user_ns["same"] = ["x", "x", "x"]
    assert len(notebook.run("%%llm -m a --each same\n{{same}}").value) == 3
    assert len(openai_server.requests) == 1


def test_values_are_parted_at_commas():
    """A comma in brackets or quotes parts nothing."""
    for text, values in [
        ("0,0.7,1", ["0", "0.7", "1"]),
        ('["a","b"],null', ['["a","b"]', "null"]),
        ('{"a":[1,2]}, "x,y"', ['{"a":[1,2]}', '"x,y"']),
        (r'"a\",b",c', [r'"a\",b"', "c"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("it's,that's", ["it's", "that's"]),
        ('5",7"', ['5"', '7"']),
        ("a)b,c", ["a)b", "c"]),
        ("f(x,y),z", ["f(x,y)", "z"]),
        (r"C:\new,\,x", [r"C:\new", "\\", "x"]),
        ('[["a,b"],{"c":"]"}],1', ['[["a,b"],{"c":"]"}]', "1"]),
        ("", [""]),
        (",", ["", ""]),
    ]:
        assert split_values(text) == values, text


@given(
    st.lists(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
        min_size=1,
    ),
    st.sampled_from([",", ", ", " ,"]),
)
def test_values_that_are_json_are_read_as_json(values, between):
    """Whatever JSON stands between the commas is what varies."""
    text = between.join(json.dumps(value, allow_nan=False) for value in values)
    kind, (name, read) = _axis("vary")(f"seed={text}")
    assert (kind, name, read) == ("vary", "seed", values)


@given(st.lists(st.text(st.characters(exclude_characters="\"'()[]{},"), min_size=1), min_size=1))
def test_values_that_are_not_json_are_texts(words):
    """Other values are the texts between the commas."""
    words = [f"x{word}x" for word in words]
    assert _axis("vary")(f"seed={','.join(words)}")[1] == ("seed", words)


def test_what_is_nearly_json_is_read_as_meant():
    """A number may lack the zero before its point; what only looks like one is a text."""
    for typed, value in [
        *(
            (".7", 0.7),
            ("-.5", -0.5),
            ("1.", 1.0),
            ("+0.5", 0.5),
            ("007", "007"),
            ("1_000", "1_000"),
        ),
        *(("'a,b'", "a,b"), ("True", True), ("true", True), ("NaN", "NaN"), ("0x10", "0x10")),
        *(("'", "'"), ("1.2.3", "1.2.3"), ("-", "-"), ('"1"', "1"), ("1e-3", 0.001)),
    ]:
        read = parse_value("seed", typed)
        assert (read, type(read)) == (value, type(value)), typed


WRONG_USES = [
    ("-m", "-m lacks its MODEL. Write -m MODEL"),
    ("-m ''", "-m lacks its MODEL"),
    ("-m topics", "-m topics: a list is not a model"),
    ("-m kind", "-m kind: the class dict is not a model"),
    ("-m topics[9]", "-m topics[9]: topics, a list, has no item [9]"),
    ("-m a -m b -m a", "a is given twice as model. For more answers of each give --samples"),
    ("-m nobody:x", "there is no provider 'nobody'"),
    ("-m openai:", "-m openai: names no model"),
    ("-m a --each nothing", "--each nothing: there is nothing in it"),
    ("-m a --each text", "--each text: to_pandas() has a column of this name"),
    ("-m a --each x=text", "--each text: a str is not a list"),
    ("-m a --each x=several", "--each several: a generator is not a list"),
    ("-m a --each x=bare", "--each bare: a SimpleNamespace is not a list"),
    ("-m a --each x=kind", "--each kind: the class dict is not a list"),
    ("-m a --each x=number", "--each number: a ndarray is not a list"),
    ("-m a --each topcs", "there is no variable of this name. Did you mean 'topics'?"),
    ("-m a --each x=topics --each x=rows", "'x' varies twice"),
    ("-m a --each =topics", "--each : not a name. Write --each topic=topics"),
    ("-m a --each x=", "--each x: not a name"),
    ("-m a --each 1x=topics", "--each 1x: not a name"),
    ("-m a --each x=topics", "--each x: the prompt does not ask for it. Write {{x}} into it"),
    ("-m a --raw --each x=topics", "--each x: the prompt does not ask for it"),
    ("-m a --each sample=topics", "--each sample: to_pandas() has a column of this name"),
    ("-m a --each", "--each lacks its NAME=VARIABLE"),
    ("-m a --each x=none", "--each none: None is not a list"),
    ("-m a --each x=topics[9]", "--each topics[9]: topics, a list, has no item [9]"),
    ("-m a --each x=pair", "--each pair: two of its columns have one name. Rename one"),
    ('-m a --each x=["a"]', "there is no variable of this name. Put it into a variable first"),
    ("-m a --samples", "--samples lacks its N"),
    ("-m a --samples many", "'many' is not a whole number over zero"),
    ("-m a --samples -3", "'-3' is not a whole number over zero"),
    ("-m a --samples 999999999999", "there would be 999,999,999,999 questions. One cell asks"),
    (
        "-m a --samples 5000 --each x=topics",
        "there would be 15,000 questions. One cell asks at most",
    ),
    ("-m a --samples 3 --stream", "--stream draws one text as it grows. Leave it out with several"),
    ("-m a --samples 0", "'0' is not a whole number over zero"),
    ("-m a --samples 2.5", "'2.5' is not a whole number over zero"),
    ("-m a --samples 2 --samples 3", "'sample' varies twice"),
    ("-m a --vary temperature", "'temperature' is not of the form NAME=VALUE"),
    ("-m a --vary =1,2", "'=1,2' is not of the form NAME=VALUE"),
    ("-m a --vary", "--vary lacks its NAME=VALUES"),
    ("-m a --vary temperature=0,0", "0 is given twice as temperature"),
    ("-m a --vary temperature=1e999", "'1e999' is not a number"),
    ("-m a --vary model_name=x,y", "--vary model_name: this is model. Give it by -m"),
    ("-m a --vary stop_sequences=x", "--vary stop_sequences: this is stop. Give it by -p stop="),
    ("-m a --vary timeout=1,2", "timeout: a is made already"),
    ("-m a --vary temperature=0,", "a value is missing"),
    ("-m a --vary temperature=", "a value is missing"),
    ("-m a --vary temperature=[0,1", "begins as JSON does and is not JSON"),
    ("-m a --vary temprature=0,1", "Did you mean 'temperature'?"),
    ("-m a --vary model=x,y", "--vary model: not a parameter. Give it by -m, more than once"),
    ("-m a --vary system=x,y", "--vary system: not a parameter. Give it by -s"),
    ("-m a --vary stop=x,y", "--vary stop: not a parameter. Give it by -p stop="),
    ("-m a --vary base_url=http://x,http://y", "this is read only when a model is made"),
    ("-m a -t 1 --vary temperature=0,1", "temperature is given by --vary and by -t or -p"),
    ("-m a -p top_p=1 --vary top_p=0,1", "top_p is given by --vary and by -t or -p"),
    ("-m a --vary top_p=0,1 --vary top_p=1", "'top_p' varies twice"),
    ("-m chain --vary temperature=0,1", "they are for a single model"),
    ("-m a --jobs 0 --samples 2", "'0' is not a whole number over zero"),
    ("-m a --jobs", "--jobs lacks its N"),
    ("-m a --jobs many", "'many' is not a whole number over zero"),
    ("-m a --jobs 2 --jobs 3 --samples 2", "--jobs is given twice. Give it once"),
    ("-m a --jobs 99999999999 --samples 2", "99,999,999,999 are too many at once"),
    ("-m a -m nobody", "-m nobody: there is no variable of this name"),
    ("-m a -c", "-c: there is no answer yet to go on from"),
    ("-m a -c --after topics", "--after and --continue exclude each other"),
    ("-m a -c -c", "-c is given twice"),
    ("-m a -c=first", "-c takes no value"),
    ("-m a --after", "--after lacks its NAME"),
    ("-m a --after ''", "--after lacks its NAME"),
    ("-m a --after none", "--after none: None is not a conversation"),
    ("-m a --after nothing", "--after nothing: a list is not a conversation"),
    ("-m a --after dicts --after dicts", "--after is given twice"),
    ("-m a --after dicts[3]", "--after dicts[3]: dicts, a list, has no item [3]"),
    ("-m a --after text", "--after text: a str is not a conversation"),
    ("-m a --after topics", "--after topics: a list is not a conversation"),
    ("-m a --after gone", "--after gone: there is no variable of this name"),
    ("-m chain --after dicts", "chain takes no conversation"),
    ("-m a --schema", "--schema lacks its NAME"),
    ("-m a --schema ''", "--schema lacks its NAME"),
    ("-m a --schema gone", "--schema gone: there is no variable of this name"),
    ("-m a --schema none", "--schema none: None is not a schema"),
    ("-m a --schema kind", "--schema kind: the class dict is not a schema"),
    ("-m a --schema nothing", "--schema nothing: a list is not a schema"),
    ("-m a --schema schema --schema schema", "--schema is given twice"),
    ("-m a --schema schema -f code", "--schema draws an object. Leave -f code out"),
    ("-m a --schema schema --stream", "--stream draws one text as it grows. Leave it out with --s"),
    ("-m a --schema text", "--schema text: a str is not a schema"),
    ("-m chain --schema schema", "chain, a RunnableSequence, has no structured output"),
    ("-m demo --schema schema", "demo, a Demo, has no structured output"),
    ("-m a --attach", "--attach lacks its WHAT"),
    ("-m a --attach ''", "--attach lacks its WHAT"),
    ("-m a --attach none", "--attach none: None cannot be attached"),
    ("-m a --attach http://", "--attach http://: this URL names no server"),
    ("-m a --attach .", "it is not a file that can be read (Is a directory)"),
    ("-m a --attach text", "its value is not a file that can be read (No such file or directory)"),
    ("-m a --attach video", "--attach video: it is not a kind of file that can be sent"),
    ("-m a --attach gone.png", "it is not a file that can be read (No such file or directory)"),
    ("-m a --attach nothing", "--attach nothing: a list cannot be attached"),
    ("-m a --attach empty", "--attach empty: there is nothing in it"),
    ("-m a --attach odd", "--attach odd: it is not a kind of file that can be sent"),
    ("-m a --attach raising", "--attach raising: it cannot be read, OSError: no paper"),
    ("-m a --each x=raising", "--each raising: it cannot be read, RuntimeError: no items"),
    ("-m a --after raising", "--after raising: a Raising is not a conversation"),
    ("-m a --schema listed", "--schema listed: a dict is not a schema"),
    ("-m chain --attach picture", "chain takes no attachment"),
    ("-m a --next", "--next puts code into the next cell. Give it with -f code"),
    ("-m a --next -f json", "--next puts code into the next cell. Give it with -f code"),
    ("-m a --next -f code --next", "--next is given twice"),
    ("-m a -f", "-f lacks its value. Write -f markdown"),
    ("-m a -f cod", "--format cannot be 'cod'. Did you mean 'code'?"),
    ("-m a -f code -f json", "--format is given twice"),
    ("-m a --diff", "--diff compares columns. Give -m more than once, or --vary"),
    ("-m a --diff --samples 2", "--diff compares columns"),
    ("-m a -m b --diff --diff", "--diff is given twice"),
    ("-m a --yes=3", "--yes takes no value"),
    ("-m a --yes -y", "--yes is given twice"),
    ("-m a -t 0 -t 1", "--temperature is given twice"),
    ("-m a -t 0 -p temperature=1", "temperature is given twice by -t or -p"),
    ("-m a -t inf", "'inf' is not a number"),
    ("-m a --keep --no-cache", "--keep and --no-cache exclude each other"),
    ("-m a --stream --no-stream", "--stream and --no-stream exclude each other"),
]


def test_quoted_values_vary(notebook, openai_server):
    """A text with a comma in it is one value where it stands in quotes."""
    answers = notebook.run('%%llm -m a --vary reasoning_effort="a,b","c",null\nhi').value
    assert [answer.coords["reasoning_effort"] for answer in answers] == ["a,b", "c", None]
    assert {body.get("reasoning_effort") for body in openai_server.bodies} == {"a,b", "c", None}


def test_a_wrong_use_is_one_line_and_asks_nothing(notebook, openai_server):
    """A wrong use is one clear line before anything is asked."""
    notebook.run(
        "from langchain_core.prompts import ChatPromptTemplate\n"
        "chain = ChatPromptTemplate.from_template('{x}') | a"
    )
    notebook.user_ns.update(
        several=(number for number in range(3)),
        schema={"title": "T", "type": "object", "properties": {}},
        dicts=[{"role": "user", "content": "q"}],
        picture=PNG,
        empty=b"",
        odd=bytes(range(256)),
        bare=SimpleNamespace(items=()),
        kind=dict,
        number=np.array(3),
        none=None,
        pair=pd.DataFrame([[1, 2]], columns=["c", "c"]),
        video=b"\0\0\0\x20ftypisom" + bytes(9),
        raising=Raising(),
        listed={"type": "array", "items": {}},
    )
    for flags, told in WRONG_USES:
        run = notebook.run(f"%%llm {flags}\nhi", check=False)
        assert isinstance(run.error, LLMCacheError), flags
        assert told in str(run.error), flags
        assert len([line for line in run.seen.splitlines() if line.strip()]) == 1, run.seen
    assert not openai_server.requests


def test_too_much_to_pay_is_said_before(notebook, openai_server):
    """More calls than allowed are an error that says how many; cached ones do not count."""
    notebook.user_ns["many"] = list(range(12))
    notebook.run("%config LLMCache.max_paid_calls = 10")
    run = notebook.run("%%llm -m a --each many\n{{many}}", check=False)
    assert "12 calls would be paid, and 10 are allowed. Give --yes, or set" in str(run.error)
    assert not openai_server.requests
    notebook.run("%%llm -m a --yes --each many\n{{many}}")
    notebook.user_ns["many"] = list(range(20))
    assert len(notebook.run("%%llm -m a --each many\n{{many}}").value) == 20
    assert len(openai_server.requests) == 20
    for flags in ("--refresh", "--no-cache"):
        run = notebook.run(f"%%llm -m a {flags} --each many\n{{{{many}}}}", check=False)
        assert "20 calls would be paid" in str(run.error)
    notebook.user_ns["many"] = ["x"] * 20
    assert len(notebook.run("%%llm -m a --each many\n{{many}}").value) == 20
    assert len(openai_server.requests) == 21


def test_what_it_would_cost_is_told(notebook, openai_server):
    """Where prices are known the error says for about how much, whatever -m calls the model."""
    notebook.user_ns["p"] = notebook.user_ns["a"].model_copy(update={"model_name": "gpt-4o"})
    run = notebook.run("%%llm -m p --samples 101\nhi", check=False)
    assert re.search(r"101 calls would be paid for about \$0\.3\d+, and 100", str(run.error))
    notebook.run("%llm_cache mode replay")
    run = notebook.run("%%llm -m p --samples 101\nhi", check=False)
    assert "101 of 101 answers failed: replay: " in str(run.error)
    assert not openai_server.requests


def test_objects_that_are_cached_cost_nothing(notebook, openai_server):
    """What --schema asks for is found before it is asked, as any question is."""
    notebook.run("from pydantic import BaseModel\nclass Person(BaseModel):\n    name: str")
    openai_server.reply = lambda _: '{"name": "Ada"}'
    cell = "%%llm -m a --schema Person --each topic=topics\n{{topic}}"
    notebook.run(cell)
    notebook.run("%config LLMCache.max_paid_calls = 1")
    assert all(answer.cached for answer in notebook.run(cell).value)
    shown = notebook.run("%%llm -m a --schema Person --show-prompt\ncats").value
    assert shown.cached


def test_what_fails_stands_in_its_place(notebook, openai_server):
    """The others are kept, one line counts what failed, and a re-run asks for that alone."""
    openai_server.fail(server_error(), times=1)
    run = notebook.run("%%llm -m a --each topic=topics --jobs 1 -o x\n{{topic}}", check=False)
    assert "1 of 3 answers failed" in str(run.error)
    assert any("3 answers · 2 fresh · 1 failed" in output.html for output in run.outputs)
    answers = notebook.user_ns["x"]
    assert [bool(answer.error) for answer in answers] == [True, False, False]
    assert notebook.user_ns["_"] is answers
    assert sum("<table" in output.html for output in run.outputs) == 1
    before = len(openai_server.requests)
    again = notebook.run("%%llm -m a --each topic=topics\n{{topic}}").value
    assert not any(answer.error for answer in again)
    assert len(openai_server.requests) == before + 1


def test_too_many_requests_slow_the_run_down(notebook, openai_server):
    """After a 429 all wait as long as the server says, and nothing fails."""
    limited = rate_limited()
    openai_server.fail(Failure(429, limited.body, {"retry-after": "0.5"}), times=2)
    began = time.perf_counter()
    answers = notebook.run("%%llm -m a --each topic=topics\n{{topic}}").value
    assert time.perf_counter() - began >= 0.5
    assert not any(answer.error for answer in answers)


# --- how far it has come ---


@pytest.fixture
def impatient(monkeypatch):
    """Tell soon how far something has come, so that nothing has to be slow."""
    for name in ("PATIENCE_S", "CODE_PATIENCE_S", "INTERVAL_S"):
        monkeypatch.setattr(live, name, 0.05)


BATCHES = {
    "batch": "a.batch(list('wxyz'), config={'max_concurrency': 2})",
    "abatch": "await a.abatch(list('wxyz'), config={'max_concurrency': 2})",
    "chain": "from langchain_core.output_parsers import StrOutputParser\n"
    "(a | StrOutputParser()).batch(list('wxyz'), config={'max_concurrency': 2})",
}


@pytest.mark.parametrize("code", BATCHES.values(), ids=BATCHES)
def test_a_slow_batch_tells_how_far_it_has_come(notebook, openai_server, impatient, code):
    """In an ordinary cell one line tells of a slow batch; it is gone when all is done."""
    notebook.run("a.invoke('w')")
    openai_server.delay_s = 0.3
    run = notebook.run(code)
    told = [output.text for output in run.outputs if "asking" in output.text]
    assert any("of 4 calls · 1 cached" in text for text in told)
    ids = {output.transient.get("display_id") for output in run.outputs} - {None}
    assert len(ids) == 1
    *_, gone = (output for output in run.outputs if output.transient.get("display_id") in ids)
    assert gone.data == {}
    assert "4 LLM calls · 1 cached · 3 fresh" in run.seen


def test_a_batch_that_nobody_counts_has_no_bar(notebook, openai_server, impatient):
    """Without a cache no call is seen, and so nothing is told of how far a batch has come."""
    notebook.run("%llm_cache off")
    openai_server.delay_s = 0.3
    assert "asking" not in notebook.run("a.batch(list('xyz'));").seen


def test_a_batch_of_something_else_is_told_of_when_it_asks(notebook, openai_server, impatient):
    """Of a batch that asks no model nothing is told; of an agent's, how many calls it made."""
    notebook.run("import time\nfrom langchain_core.runnables import RunnableLambda")
    run = notebook.run("RunnableLambda(lambda x: time.sleep(0.2)).batch([1, 2])")
    assert "asking" not in run.seen
    openai_server.delay_s = 0.2
    run = notebook.run("RunnableLambda(lambda x: [a.invoke(x), a.invoke(x * 2)]).batch(['x', 'y'])")
    assert "asking · 2 calls" in run.seen


def test_slow_embeddings_are_told_of(notebook, openai_server, impatient):
    """While a provider embeds, one line tells how many texts."""
    from langchain_openai import OpenAIEmbeddings

    notebook.user_ns["e"] = OpenAIEmbeddings(
        api_key="k", base_url=openai_server.url, check_embedding_ctx_length=False
    )
    openai_server.delay_s = 0.3
    assert "embedding 3 texts · " in notebook.run("e.embed_documents(['a', 'b', 'c']);").seen
    assert "embedding 3 texts · " not in notebook.run("e.embed_documents(['a', 'b', 'c']);").seen


def test_a_table_tells_how_far_it_has_come(notebook, openai_server, impatient):
    """Done of all, cached, failed, and what is spent; an agent's own batch is a part of it."""
    notebook.user_ns.update(p=notebook.user_ns["a"].model_copy(update={"model_name": "gpt-4o"}))
    notebook.run("%llm -m p cats")
    notebook.run(
        "from langchain_core.runnables import RunnableLambda\n"
        "many = RunnableLambda(lambda text: p.batch([text, text + '!'])[0])"
    )
    openai_server.delay_s = 0.3
    openai_server.fail(server_error(), times=1)
    cell = "%%llm -m p -m many --each topic=topics --jobs 1\n{{topic}}"
    run = notebook.run(cell, check=False)
    assert re.search(r"asking · \d of 6 answers · 1 cached · 1 failed · \$0\.\d+ · ", run.seen)
    assert " left" in run.seen
    assert "of 2 calls" not in run.seen
    # The table takes its place, so that nothing of it stays in the notebook.
    assert len({output.transient["display_id"] for output in run.outputs}) == 1
    assert "<table" in run.outputs[-1].html
    again = notebook.run("table = _\ntable")
    assert [output.kind for output in again.outputs] == ["display_data"]


def interrupt_soon(seconds):
    timer = threading.Timer(seconds, _thread.interrupt_main)
    timer.start()
    return timer


def assert_paid_once(notebook, server, size, rng):
    """Interrupt a grid until it is done: each request was paid once, none is lost."""
    answers = run_with_interrupts(notebook, size, rng)
    assert [answer.coords["item"] for answer in answers] == [f"item {n}" for n in range(size)]
    assert len(server.requests) == size
    assert len(set(prompts(server))) == size


def run_with_interrupts(notebook, size, rng):
    """Run a grid until it is done, interrupted again and again; return the answers."""
    notebook.user_ns["items"] = [f"item {number}" for number in range(size)]
    cell = "%%llm -m a --yes --each item=items\n{{item}}"
    while True:
        try:
            timer = interrupt_soon(rng.uniform(0.05, 0.4))
            try:
                run = notebook.run(cell, check=False)
            finally:
                timer.cancel()
                timer.join()
        except KeyboardInterrupt:  # it came before the cell or behind it
            continue
        if run.error is None:
            return run.value
        assert isinstance(run.error, KeyboardInterrupt), run.error


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # one is lost
@pytest.mark.parametrize("seed", range(2))
def test_an_interrupted_grid_goes_on(notebook, openai_server, seed):
    """Interrupted at random moments, each request is paid once and no answer is lost."""
    openai_server.delay_s = 0.05
    assert_paid_once(notebook, openai_server, 80, random.Random(seed))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # one is lost
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_a_long_interrupted_grid_goes_on(notebook, openai_server, seed):
    """A grid of 200, interrupted at random moments, pays once for each request and loses none."""
    openai_server.delay_s = 0.02
    assert_paid_once(notebook, openai_server, 200, random.Random(seed))


def test_a_thousand_cached_answers_are_quick(notebook):
    """A grid of 1,000 cached answers is back within two seconds."""
    from jupyter_llmcache.commands.local import Demo

    notebook.user_ns.update(d=Demo(sleep=0), n=list(range(1000)))
    notebook.run("x = %llm -m d --yes --each n {{n}}")
    began = time.perf_counter()
    answers = notebook.run("x = %llm -m d --each n {{n}}\nx").value
    assert all(answer.cached for answer in answers)
    assert time.perf_counter() - began < 5  # 2 where nothing else runs


# --- conversations, objects, attachments ---


def test_a_conversation_is_a_value(notebook, openai_server):
    """--after goes on from an answer; the same cell asked twice asks the same."""
    notebook.run("%%llm -m a -s 'be kind' -o first\nhi")
    notebook.run("%%llm -m a --after first -o second\nand shorter?")
    sent = openai_server.bodies[-1]["messages"]
    assert [m["role"] for m in sent] == ["system", "user", "assistant", "user"]
    assert notebook.run("%%llm -m a --after first\nand shorter?").value.cached
    assert [m.type for m in notebook.user_ns["second"].messages] == [
        *("system", "human", "ai", "human", "ai"),
    ]
    notebook.run("%llm -m a -c and in French?")
    assert len(openai_server.bodies[-1]["messages"]) == 6
    notebook.user_ns["dicts"] = [{"role": "user", "content": "q"}]
    notebook.run("%llm -m a --after dicts go on")
    assert openai_server.bodies[-1]["messages"][0]["content"] == "q"
    notebook.run("x = %llm -m a -m b hi")
    run = notebook.run("%llm -m a --after x hi", check=False)
    assert "--after x: there are 2 answers. Choose one" in str(run.error)


def test_a_conversation_goes_on_with_its_own_model(notebook, openai_server):
    """Without -m, -c and --after ask whom the answer is of, also where another is the default."""
    notebook.user_ns["llm"] = notebook.user_ns["a"]
    notebook.run("%%llm -m b -o first\nhi")
    notebook.run("%llm -c and shorter?")
    notebook.run("x = %llm -m a -m b what else?\none = x[1]")
    notebook.run("%llm --after one and now?")
    assert [body["model"] for body in openai_server.bodies].count("gpt-b") == 4
    notebook.run("%llm -m a --after first and you?")
    assert openai_server.bodies[-1]["model"] == "gpt-a"
    notebook.run(
        "from langchain_core.prompts import ChatPromptTemplate\n"
        "chain = ChatPromptTemplate.from_template('{x}') | b"
    )
    notebook.run("%llm -m chain hi there")
    assert notebook.run("%llm -c and then?").value.model == "openai:gpt-a"


def test_an_answer_as_an_object(notebook, openai_server):
    """--schema gives the object, cached like the rest; what does not fit is one line."""
    notebook.run(
        "import dataclasses, typing\nfrom pydantic import BaseModel\n"
        "class Person(BaseModel):\n    name: str\n    age: int\n"
        "class Pet(typing.TypedDict):\n    name: str\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int"
    )
    openai_server.reply = lambda _: '{"name": "Ada", "age": 36}'
    answer = notebook.run("%llm -m a --schema Person who?").value
    assert answer.result == notebook.user_ns["Person"](name="Ada", age=36)
    assert notebook.run("%llm -m a --schema Person who?").value.cached
    notebook.run("%llm -m a -c and now?")
    assert '"age": 36' in openai_server.bodies[-1]["messages"][1]["content"]
    assert notebook.run("%llm -m a --schema Pet who?").value.result["name"] == "Ada"
    openai_server.reply = lambda _: '{"x": 3}'
    assert notebook.run("%llm -m a --schema Point where?").value.result.x == 3
    openai_server.reply = lambda _: '{"name": "Ada"}'
    run = notebook.run("%llm -m a --schema Person again?", check=False)
    assert "the answer does not fit Person: age: Field required" in str(run.error)
    assert "{&quot;name&quot;: &quot;Ada&quot;}" in run.outputs[0].html
    assert notebook.user_ns["_"].text == '{"name": "Ada"}'
    notebook.run("0")
    run = notebook.run("%llm -m a --schema Person again?", check=False)
    assert "cached" in run.outputs[0].html
    assert notebook.user_ns["_"].text == '{"name": "Ada"}'
    run = notebook.run("%llm -m a -m b --schema Person again?", check=False)
    assert "{&quot;name&quot;: &quot;Ada&quot;}" in run.outputs[0].html


def test_what_a_validator_raises_is_told(notebook, openai_server):
    """Whatever a person's own class raises, the answer is kept and stands in _."""
    notebook.run(
        "from pydantic import BaseModel, RootModel, field_validator\n"
        "class Odd(BaseModel):\n    n: int\n"
        "    @field_validator('n')\n    def f(cls, v): raise KeyError('odd')\n"
        "class Names(RootModel[list[str]]): pass"
    )
    openai_server.reply = lambda _: '{"n": 1}'
    for _ in range(2):
        run = notebook.run("%llm -m a --schema Odd who?", check=False)
        assert "the answer does not fit Odd: KeyError: 'odd'. The answer's text" in str(run.error)
        assert notebook.user_ns["_"].text == '{"n": 1}'
    assert len(openai_server.requests) == 1
    openai_server.reply = lambda _: '["Ada", "Bob"]'
    notebook.run("%llm -m a --schema Names who?")
    again = notebook.run("%llm -m a --schema Names who?").value
    assert (again.cached, again.result.root) == (True, ["Ada", "Bob"])
    openai_server.reply = lambda _: ""
    run = notebook.run("%llm -m a --schema Names nobody?", check=False)
    assert "does not fit Names: there is no object in it" in str(run.error)
    notebook.run("from typing import NotRequired, TypedDict\nclass T(TypedDict):\n    x: int")
    notebook.user_ns["T"].__annotations__["x"] = 3
    refused = Failure(400, {"error": {"message": "this model knows no response_format"}})
    openai_server.reply = lambda body: refused if body.get("response_format") else "No."
    run = notebook.run("%llm -m a -m b --schema Names who else?", check=False)
    assert [answer.error for answer in notebook.user_ns["_"]] == [
        f"{name}: the answer does not fit Names: there is no object in it" for name in "ab"
    ]
    assert "2 answers · 2 fresh · " in run.outputs[-1].html
    run = notebook.run("%llm -m a --schema T who?", check=False)
    assert "a cannot be asked for this schema: " in str(run.error)


PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def test_attachments_reach_the_model(notebook, openai_server, tmp_path):
    """Bytes, files, URLs and figures are sent as blocks of their kind; their bytes count."""
    notebook.user_ns["picture"] = PNG
    notebook.run("%llm -m a --attach picture what is it?")
    text, image = openai_server.bodies[-1]["messages"][0]["content"]
    assert text["text"] == "what is it?"
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    (tmp_path / "same.bin").write_bytes(PNG)
    assert notebook.run("%llm -m a --attach same.bin what is it?").value.cached
    (tmp_path / "notes.txt").write_text("my notes")
    notebook.run("%llm -m a --attach notes.txt --attach https://x.invalid/a.png hm?")
    blocks = openai_server.bodies[-1]["messages"][0]["content"]
    assert blocks[1]["text"] == "my notes"
    assert blocks[2]["image_url"]["url"] == "https://x.invalid/a.png"
    notebook.run("from matplotlib.figure import Figure\nchart = Figure()")
    notebook.run("%llm -m a --attach chart hm?")
    notebook.user_ns["large"] = PNG + bytes(6_000_000)
    run = notebook.run("%llm -m a --attach large hm?", check=False)
    assert "6,000,028 bytes are more than 5,000,000" in str(run.error)


def test_every_kind_of_picture_text_and_sound_is_attached(notebook, openai_server, tmp_path):
    """Axes, pictures for print, URLs in variables, sound by its bytes; a text without its mark."""
    from IPython.display import Image as Shown
    from PIL import Image

    notebook.user_ns.update(
        printed=Image.new("CMYK", (4, 4)),
        science=Image.new("F", (4, 4)),
        view=memoryview(PNG),
        link="HTTPS://x.invalid/a.png?size=2",
        shown=Shown(url="https://x.invalid/b.png"),
        sound=b"\xff\xf3\x90\x00" + bytes(9),
        spoken=b"\0\0\0\x20ftypM4A " + bytes(9),
        words=b"\xef\xbb\xbfcaf\xc3\xa9\tau lait\x1b[0m",
        where=tmp_path / "a.png",
    )
    (tmp_path / "a.png").write_bytes(PNG)
    notebook.run("from matplotlib.figure import Figure\naxes = Figure().subplots()")
    for name in ("printed", "science", "view", "link", "shown", "sound", "words", "where", "axes"):
        notebook.run(f"%llm -m a --attach {name} hm?")
    sent = [body["messages"][0]["content"][1] for body in openai_server.bodies]
    kinds = [block.get("image_url", block).get("url", block["type"])[:22] for block in sent]
    png = "data:image/png;base64,"
    told = [png, png, png, "HTTPS://x.invalid/a.pn", "https://x.invalid/b.pn"]
    # The view and the file hold the same bytes, which are paid for once.
    assert kinds == [*told, "input_audio", "text", png]
    assert sent[-2]["text"] == "café\tau lait\x1b[0m"
    run = notebook.run("%llm -m a --attach https://x.invalid/a.mp3 hm?", check=False)
    assert "a cannot take what is attached: Key base64 is required" in str(run.error)


def test_what_is_attached_is_shown_small(notebook):
    """Under the triangle stands a small picture, and of a large one and of a URL only its name."""
    notebook.user_ns.update(picture=PNG, large=PNG + bytes(300_000))
    drawn = notebook.run("%llm -m a --attach picture what is it?").outputs[-1].html
    assert '<img src="data:image/png;base64,' in drawn
    assert "image/png · 28 bytes" in drawn
    shown = notebook.run("%llm_cache show last").seen
    assert "message 1 (human)\nwhat is it?\n[image: image/png]\n" in shown
    flags = "--attach large --attach https://x.invalid/a.png"
    drawn = notebook.run(f"%llm -m a {flags} what is it?").outputs[-1].html
    assert "<img" not in drawn
    assert "image/png · 300 kB" in drawn
    assert "https://x.invalid/a.png" in drawn


def test_what_a_model_cannot_take_is_said_before(notebook, openai_server):
    """What LangChain knows a model not to take is one line, and nothing is asked."""
    notebook.user_ns.update(picture=PNG, sound=b"ID3" + bytes(9), words=b"plain words")
    notebook.user_ns["old"] = notebook.user_ns["a"].model_copy(
        update={"profile": {"image_inputs": False, "audio_inputs": False, "pdf_inputs": True}}
    )
    for flags, told in (
        ("-m old --attach picture", "old takes no pictures. Ask a model that does"),
        ("-m a -m old --attach sound", "old takes no sound"),
        ("-m old -t 0.5 --attach words --attach https://x.invalid/a.png", "old takes no pictures"),
    ):
        assert told in str(notebook.run(f"%llm {flags} hm?", check=False).error)
    assert not openai_server.bodies
    assert notebook.run("%llm -m old --attach words hm?").value.text


def test_an_agent_is_asked(notebook, openai_server):
    """-m takes a graph whose state has messages: its last message is the answer."""
    notebook.run(
        "from langgraph.graph import StateGraph, MessagesState, START\n"
        "def node(state):\n    return {'messages': [a.invoke(state['messages'])]}\n"
        "g = StateGraph(MessagesState)\ng.add_node('n', node)\ng.add_edge(START, 'n')\n"
        "agent = g.compile()"
    )
    answer = notebook.run("%%llm -m agent -s 'be kind'\nhi").value
    assert answer.text == "answer 1: hi"
    assert [m.type for m in answer.messages] == ["system", "human", "ai"]
    assert notebook.run("%%llm -m agent -s 'be kind'\nhi").value.cached


def test_the_steps_of_an_agent_are_told(notebook, openai_server):
    """Under the triangle of an agent's answer stand its calls and its tools by name."""
    adding_agent(notebook, openai_server)
    for _ in range(2):
        run = notebook.run("%llm -m agent what is 2 + 3?")
        assert run.value.text == "The sum is 5."
        assert "steps     2 LLM calls · 2 tool calls: add" in run.outputs[-1].html
    assert len(openai_server.requests) == 2


def adding_agent(notebook, server):
    """An agent that adds in two tool calls, saying something before."""
    server.reply = lambda body: (
        Reply(tokens=["The sum", " is 5."], text="The sum is 5.")
        if body["messages"][-1]["role"] == "tool"
        else Reply("Let me add.", tool_calls=[("add", {"x": 2, "y": 3}), ("add", {"x": 1, "y": 1})])
    )
    notebook.run(
        "from langchain.agents import create_agent\n"
        'def add(x: int, y: int) -> int:\n    """Add."""\n    return x + y\n'
        "agent = create_agent(a, [add])"
    )


def test_the_last_answer_of_an_agent_is_streamed(notebook, openai_server, monkeypatch):
    """What an agent says grows, the newest message in the place of the one before it."""
    adding_agent(notebook, openai_server)
    shown = []
    monkeypatch.setattr(live._Notebook, "update", lambda _, text: shown.append(text))
    answer = notebook.run("%%llm -m agent\nwhat is 2 + 3?").value
    assert answer.text == "The sum is 5."
    assert shown[-1] == "The sum is 5."
    assert {"Let me add.", "The sum"} <= set(shown)
    assert all(body["stream"] for body in openai_server.bodies)
    assert [m.type for m in answer.messages] == ["human", "ai", "tool", "tool", "ai"]
    assert notebook.run("%%llm -m agent\nwhat is 2 + 3?").value.cached
    assert notebook.run("%llm -m agent what is 2 + 3?").value.cached
    assert len(openai_server.requests) == 2


def test_steps_and_attachments_of_each_answer_are_told(notebook, openai_server):
    """In a table, too: steps under each answer's triangle, a picture once, under the table."""
    adding_agent(notebook, openai_server)
    notebook.user_ns["picture"] = PNG
    run = notebook.run("%%llm -m a -m agent --attach picture\nwhat is 2 + 3?")
    (table,) = (output.html for output in run.outputs if "<table" in output.html)
    assert "steps     2 LLM calls · 2 tool calls: add" in table
    assert table.count("image/png · 28 bytes") == 2
    assert table.count("<img") == 1


@pytest.mark.parametrize("refused", [("response_format",), ("response_format", "tools")])
def test_an_object_comes_in_the_way_that_a_server_takes(notebook, openai_server, refused):
    """Where a server refuses JSON schemas it is asked for a call of a tool, then for JSON mode."""
    known = Failure(400, {"error": {"message": f"this model knows no {refused[-1]}"}})
    place = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

    def reply(body):
        asked = (body.get("response_format") or {}).get("type")
        if asked == "json_schema" or set(refused[1:]) & body.keys():
            return known
        if body.get("tools"):
            return Reply(tool_calls=[("place", {"city": "Rome"})])
        return '{"city": "Rome"}'

    openai_server.reply = reply
    notebook.user_ns["place"] = place
    run = notebook.run("%llm -m a -p user=me --schema place where?")
    assert run.value.result == {"city": "Rome"}
    assert run.value.line.startswith("fresh · ")
    assert "calls" not in run.value.line
    assert not any("LLM call" in text for text in run.texts)
    assert len(openai_server.requests) == 1 + len(refused)
    sent = openai_server.bodies[-1]
    assert sent["user"] == "me"
    assert ("tools" in sent) == (len(refused) == 1)
    if "tools" not in sent:
        assert sent["response_format"] == {"type": "json_object"}
        assert '"city"' in sent["messages"][0]["content"]
    notebook.run("%llm_cache mode replay")
    again = notebook.run("%llm -m a -p user=me --schema place where?").value
    assert (again.cached, again.result) == (True, {"city": "Rome"})
    notebook.run("%llm_cache mode auto")
    assert notebook.run("%llm -m a -p user=me --schema place where?").value.cached
    assert len(openai_server.requests) == 1 + len(refused)


def test_what_a_server_refuses_for_another_reason_is_asked_once(notebook, openai_server):
    """An error that has nothing to do with objects is told at once."""
    notebook.user_ns["place"] = {"type": "object", "properties": {}}
    openai_server.reply = lambda _: Failure(400, {"error": {"message": "the prompt is too long"}})
    run = notebook.run("%llm -m a --schema place where?", check=False)
    assert "the prompt is too long" in str(run.error)
    assert len(openai_server.requests) == 1


def test_agents_and_chains_tell_their_tokens(notebook, openai_server):
    """Their models' streams ask for tokens too, and a server that refuses is asked without."""
    notebook.run(
        "from langchain_core.prompts import ChatPromptTemplate\n"
        "from langchain.agents import create_agent\n"
        "chain = ChatPromptTemplate.from_template('{x}') | a\nagent = create_agent(a, [])"
    )
    for name in ("chain", "agent"):
        assert notebook.run(f"%%llm -m {name}\nhi {name}").value.usage["total_tokens"] > 0
        assert openai_server.bodies[-1]["stream_options"] == {"include_usage": True}
    refusal = Failure(400, {"error": {"message": "unknown field stream_options"}})
    openai_server.fail(refusal, times=1)
    assert notebook.run("%%llm -m agent\nho").value.text
    assert "stream_options" not in openai_server.bodies[-1]


def test_a_chain_that_takes_messages_gets_a_conversation(notebook, openai_server):
    """A chain that takes messages alone takes a system text and a conversation."""
    notebook.run(
        "from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder\n"
        "chain = ChatPromptTemplate.from_messages([MessagesPlaceholder('messages')]) | a"
    )
    notebook.run("%%llm -m chain -s 'be kind' -o first\nhi")
    answer = notebook.run("%llm -m chain --after first and then?").value
    assert [m["role"] for m in openai_server.bodies[-1]["messages"]] == [
        *("system", "user", "assistant", "user")
    ]
    assert [m.type for m in answer.messages] == ["system", "human", "ai", "human", "ai"]


def test_the_prompt_of_several_questions_is_shown(notebook, openai_server):
    """--show-prompt shows the first, and tells how many there are and how many are cached."""
    notebook.run("%llm -m a about dogs")
    shown = notebook.run("%%llm -m a --each topic=topics --show-prompt\nabout {{topic}}")
    assert "human:\nabout cats" in str(shown.value)
    assert "the first of 3 questions · not in the cache · " in str(shown.value)
    assert " ".join(str(shown.value).split()).endswith(" · 1 of all in the cache")
    assert len(openai_server.requests) == 1


def test_a_stable_table_is_the_same_on_a_second_run(notebook):
    """--stable draws no time and not fresh or cached, in a table, too."""
    cell = "%%llm -m a --stable --each topic=topics\n{{topic}}"
    first, again = (notebook.run(cell) for _ in range(2))
    assert first.outputs[-1].data == again.outputs[-1].data
    assert "cats" in first.outputs[-1].html


def test_a_graph_with_other_inputs_is_one_line(notebook):
    """A graph that takes no messages says what it takes."""
    notebook.run(
        "from typing import TypedDict\nfrom langgraph.graph import StateGraph, START\n"
        "class State(TypedDict):\n    topic: str\n"
        "g = StateGraph(State)\ng.add_node('n', lambda s: s)\ng.add_edge(START, 'n')\n"
        "graph = g.compile()"
    )
    run = notebook.run("%llm -m graph hi", check=False)
    assert "this graph takes topic, not messages" in str(run.error)
