"""The managing subcommands, typed into a real shell over calls to a real server."""

from __future__ import annotations

import io
import multiprocessing
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from jupyter_llmcache import ledger
from jupyter_llmcache.commands import subcommands
from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.ledger import LEDGER, Call, Entry
from jupyter_llmcache.stores.sqlite import SQLiteStore
from tests.servers.openai import server_error

ANSWER = b'{"format":1,"versions":{},"generations":[{"text":"a"}]}'


class Notebook:
    """A shell with the extension, a model named ``llm``, and a cache in ``a.db``."""

    def __init__(self, shell, llm):
        self.shell = shell
        shell.user_ns["llm"] = llm
        shell.run("%load_ext jupyter_llmcache")
        self.manage("sqlite a.db")

    def manage(self, line: str):
        """The value of ``%llm_cache LINE``."""
        return self.shell.run(f"%llm_cache {line}").value

    def fail(self, line: str) -> str:
        """The one line of error that ``%llm_cache LINE`` gives."""
        error = self.shell.run(f"%llm_cache {line}", check=False).error
        assert error is not None, f"{line} did not fail"
        text = str(error)
        assert "\n" not in text
        return text

    def ask(self, *prompts: str, flags: str = "") -> None:
        for prompt in prompts:
            self.shell.run(f"%%llm --no-stream {flags}\n{prompt}")

    @property
    def store(self) -> SQLiteStore:
        return self.shell._jupyter_llmcache.session.cache.store


@pytest.fixture
def notebook(shell, chat_openai) -> Notebook:
    return Notebook(shell, chat_openai(temperature=0))


# --- list, show ---


def test_list_tells_what_is_kept(notebook):
    """The list holds each entry's prompt, model, size, hits and saved time, the newest first."""
    notebook.ask("first", "second", "first")
    table = notebook.manage("list")
    assert [row[1:4] for row in table] == [
        ("second", "answer 2: second", "openai:gpt-test"),
        ("first", "answer 1: first", "openai:gpt-test"),
    ]
    assert table.columns[:5] == ("key", "prompt", "answer", "model", "recorded_at")
    hits = table.columns.index("hits")
    assert [row[hits] for row in table] == [0, 1]
    assert table[1][table.columns.index("saved_s")] > 0
    assert table[1][table.columns.index("size_bytes")] > 0
    assert "2 of 2 entries" in str(table)
    assert list(table.to_pandas()["prompt"]) == ["second", "first"]


def test_list_takes_conditions_and_an_order(notebook, chat_openai):
    """--model, --grep, --since, --sort and -n choose and order the entries."""
    notebook.ask("a cat", "a dog")
    notebook.shell.user_ns["other"] = chat_openai(model="gpt-other")
    notebook.ask("A CAT and more words, so that this one is the largest of all", flags="-m other")
    assert [row[1] for row in notebook.manage("list -m gpt-test")] == ["a dog", "a cat"]
    assert [row[3] for row in notebook.manage("list --model OTHER")] == ["openai:gpt-other"]
    assert len(notebook.manage("list --grep cat")) == 2
    assert len(notebook.manage('list --grep "a cat" --model gpt-test')) == 1
    assert len(notebook.manage("list -n 1")) == 1
    assert notebook.manage("list --sort size")[0][3] == "openai:gpt-other"
    assert len(notebook.manage("list --since 1h")) == 3
    assert len(notebook.manage("list --since 0.001s")) == 0


def test_list_puts_the_last_used_first(notebook):
    """--sort used lists by the last hit, --sort saved by the time saved."""
    notebook.ask("one", "two", "one")
    assert [row[1] for row in notebook.manage("list --sort used")] == ["one", "two"]
    assert [row[1] for row in notebook.manage("list --sort saved")] == ["one", "two"]


def test_show_tells_the_whole_entry(notebook):
    """Show holds model, parameters, messages, answer, versions and hits of one entry."""
    notebook.ask("what is it", "what is it", flags='-s "Be kind." -p seed=3')
    shown = str(notebook.manage("show last"))
    for part in (
        *("openai:gpt-test", "temperature", "seed", "system\nBe kind.", "what is it"),
        *("answer 1: what is it", "langchain-openai", "langchain-core", "1 · saved", "a.db"),
    ):
        assert part in shown
    key = notebook.manage("show last").data["key"]
    assert notebook.manage(f"show {key[:6]}").data == notebook.manage("show last").data
    assert "test-key" not in shown
    html = notebook.manage("show last")._repr_html_()
    assert "answer 1: what is it" in html


def test_show_of_a_canned_answer_tells_what_a_person_can_read(notebook):
    """No digest stands among the parameters, and a package is named once."""
    notebook.ask("hi", flags="-m demo")
    shown = str(notebook.manage("show"))
    assert "llmcache:" not in shown
    assert shown.count("langchain-core") == shown.count("jupyter_llmcache 0") == 1
    assert "jupyter-llmcache" not in shown


def test_show_draws_hostile_text_as_text(notebook, openai_server):
    """Markup and escape sequences of an answer are shown, not acted on."""
    openai_server.reply = lambda _: "<script>alert(1)</script>\x1b[2J"
    notebook.ask("hi")
    report = notebook.manage("show last")
    assert "<script>" not in report._repr_html_()
    assert "&lt;script&gt;" in report._repr_html_()
    assert "\x1b" not in str(report)


# --- explain ---


def test_explain_after_a_miss_names_the_difference(notebook):
    """After a miss the nearest request is told of, with what differs."""
    notebook.ask("why is the sky blue")
    notebook.ask("why is the sky blue", flags="-t 0.7")
    told = str(notebook.manage("explain"))
    assert "was fresh; nearest: temperature 0 -> 0.7" in told
    assert told.count("->") == 1
    assert dict(notebook.manage("explain").rows)["model"] == "openai:gpt-test"


def test_explain_after_a_hit_says_what_was_the_same(notebook):
    """After a hit the fields that were compared, and those that were not, are told."""
    notebook.ask("hi", "hi")
    told = str(notebook.manage("explain last"))
    assert "was cached: the same request was recorded" in told
    assert "temperature" in told
    assert "timeouts" in told
    assert "langchain-openai" in told


def test_explain_after_a_hit_tells_of_other_versions(notebook):
    """An entry of an older release is told as the same key with its versions."""
    notebook.ask("hi")
    record = next(notebook.store.entries())
    old = record.answer.replace(b'"langchain-core":"1.', b'"langchain-core":"0.')
    assert old != record.answer
    notebook.store.put(record._replace(answer=old, created_at=1.0, provider_s=1.0))
    notebook.ask("hi")
    assert ": same key" in str(notebook.manage("explain"))


def test_explain_after_not_cached_gives_the_reason(notebook):
    """After a call past the cache the reason is told."""
    notebook.ask("hi", flags="--no-cache")
    assert "not cached" in str(notebook.manage("explain"))


def test_explain_after_a_replay_miss(notebook):
    """After a replay miss, which has no entry, the nearest request is still told of."""
    notebook.ask("hi")
    with pytest.raises(LLMCacheError, match=r"temperature 0 -> 0\.5"):
        notebook.ask("hi", flags="--replay -t 0.5")
    assert "temperature 0 -> 0.5" in str(notebook.manage("explain"))


def test_explain_after_a_failure_names_the_difference(notebook, openai_server):
    """A call that failed left no entry; the nearest one is still told of, with what differs."""
    notebook.ask("hi")
    openai_server.fail(server_error(), times=1)
    with pytest.raises(LLMCacheError):
        notebook.ask("hi", flags="-t 0.5")
    told = str(notebook.manage("explain"))
    assert "was a failure" in told
    assert "temperature 0 -> 0.5" in told


def test_explain_of_a_key_compares_it_with_the_others(notebook):
    """Explain of a key tells what differs between its entry and its neighbours."""
    notebook.ask("hi")
    notebook.ask("ho")
    key = notebook.manage("list")[0][0]
    assert "'hi' -> 'ho'" in str(notebook.manage(f"explain {key}"))


# --- forget, clear, prune, verify ---


def test_forget_only_tells_until_it_is_told_yes(notebook, openai_server):
    """Forget names what would go and what it cost; with --yes it goes, and nothing else."""
    notebook.ask("one", "two")
    told = notebook.manage("forget last")
    assert "would delete 1 entry" in told.title
    assert "to record" in told.title
    assert notebook.store.count() == 2
    assert "forgot 1 entry" in notebook.manage("forget last --yes").title
    assert [row[1] for row in notebook.manage("list")] == ["one"]
    notebook.ask("one", "two")
    assert len(openai_server.requests) == 3


def test_forget_takes_keys_and_conditions(notebook, chat_openai):
    """Several keys go together, conditions narrow each other."""
    notebook.ask("a cat", "a dog", "a cow", "a hen")
    keys = {row[1]: row[0] for row in notebook.manage("list")}
    notebook.manage(f"forget {keys['a cat']} {keys['a dog']} --yes")
    assert {row[1] for row in notebook.manage("list")} == {"a cow", "a hen"}
    assert "nothing to do" in notebook.manage(f"forget {keys['a hen']} --grep cow --yes").title
    notebook.manage("forget --grep cow --older-than 1h --yes")
    assert notebook.store.count() == 2
    notebook.manage("forget --grep cow --model gpt-test --yes")
    assert [row[1] for row in notebook.manage("list")] == ["a hen"]
    assert "nothing to do" in notebook.manage("forget --grep nothing --yes").title


def test_clear_and_prune(notebook):
    """Prune keeps what was used last within its bound; clear takes everything; each with --yes."""
    notebook.ask("one", "two", "three", "one")
    assert "prune would delete 1 entry" in notebook.manage("prune --max-entries 2").title
    notebook.manage("prune --max-entries 2 --yes")
    assert {row[1] for row in notebook.manage("list")} == {"one", "three"}
    assert "would delete 2 entries" in notebook.manage("clear").title
    assert notebook.store.count() == 2
    notebook.manage("clear --yes")
    assert notebook.store.count() == 0


def test_prune_without_bounds_uses_those_of_the_cache(notebook):
    """Prune without flags takes what is past the cache's own time to live."""
    notebook.ask("old")
    notebook.manage("sqlite b.db --ttl 0.05s")
    notebook.ask("old")
    time.sleep(0.05)
    assert "would delete 1 entry" in notebook.manage("prune").title
    notebook.manage("prune --yes")
    assert notebook.store.count() == 0


def test_prune_by_size_and_by_age(notebook):
    """Prune takes what does not fit into the size, and what is too old."""
    notebook.ask(*(f"question {number} {'x' * 3000}" for number in range(6)))
    size_bytes = notebook.store.size_bytes()
    told = notebook.manage(f"prune --max-size {size_bytes // 2}b")
    assert 0 < told.data["entries"] < 6
    assert notebook.manage("prune --older-than 1h").data["entries"] == 0


def test_langchains_own_rows_stay(notebook, tmp_path):
    """Clear deletes our entries and leaves what LangChain's own cache wrote in the file."""
    with sqlite3.connect(tmp_path / "lc.db") as connection:
        connection.execute(
            "CREATE TABLE full_llm_cache (prompt TEXT, llm TEXT, idx INTEGER, response TEXT, "
            "PRIMARY KEY (prompt, llm, idx))"
        )
        connection.execute("INSERT INTO full_llm_cache VALUES ('p', 'l', 0, 'r')")
    connection.close()
    notebook.manage("sqlite lc.db")
    notebook.ask("hi")
    assert "stays" in str(notebook.manage("clear --yes"))
    with sqlite3.connect(tmp_path / "lc.db") as connection:
        assert connection.execute("SELECT count(*) FROM full_llm_cache").fetchone() == (1,)
    connection.close()


def test_verify_finds_and_repairs_a_damaged_entry(notebook, tmp_path):
    """Verify tells of a changed answer; with --repair it is gone, and the others stay."""
    notebook.ask("one", "two")
    assert notebook.manage("verify").ok
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE llmcache_entries SET answer = x'0041' WHERE title = 'one'")
    connection.close()
    found = notebook.manage("verify")
    assert not found.ok
    assert len(found.data["damaged"]) == 1
    assert notebook.manage("verify --repair").ok
    assert [row[1] for row in notebook.manage("list")] == ["two"]
    assert "a.db is sound: 1 entry" in str(notebook.manage("verify"))


def test_verify_finds_an_entry_that_is_no_answer(notebook):
    """An entry whose checksum is right but that holds no answer of ours is found too."""
    notebook.store.put(
        Entry(b"k" * 16, b"no answer", 1.0, None, request="{}", prompt='"p"', title="p")
    )
    assert notebook.manage("verify").data["damaged"] == [(b"k" * 16).hex()]
    assert notebook.manage("verify --repair").ok
    assert notebook.store.count() == 0


# --- history, totals ---


def test_history_lists_every_call(notebook, openai_server):
    """History tells cell, kind, times and tokens of each call, and sums them up."""
    notebook.ask("hi", "hi", "hi")
    notebook.ask("hi", flags="--no-cache")
    openai_server.hang_up = True
    notebook.shell.run("%%llm\nother", check=False)
    table = notebook.manage("history")
    words = ["failed", "fresh", "cached", "cached", "fresh"]
    assert [row[1] for row in table] == words
    assert all(row[0] for row in table)
    assert "5 calls · 2 cached · 2 fresh · 1 failed" in table.title
    assert len(notebook.manage("history -n 2")) == 2
    tokens = [(call.kind, (call.usage or {}).get("total_tokens", 0)) for call in LEDGER.since(0)]
    spent = sum(count for kind, count in tokens if kind in ("miss", "bypass"))
    saved = sum(count for kind, count in tokens if kind == "hit")
    assert f" · spent {spent} tokens · saved " in table.title
    assert table.title.endswith(f", {saved} tokens")
    assert spent == saved > 0


@pytest.mark.parametrize("has_matplotlib", [True, False])
def test_history_can_be_a_picture(notebook, monkeypatch, has_matplotlib):
    """--plot draws a picture without a ground of its own, or bars of characters."""
    notebook.ask("hi", "hi")
    if not has_matplotlib:
        monkeypatch.setattr("jupyter_llmcache.commands.history.find_spec", lambda _: None)
    plot = notebook.manage("history --plot")
    png = plot._repr_png_()
    assert (png is None) is not has_matplotlib
    if png is not None:
        image = pytest.importorskip("PIL.Image").open(io.BytesIO(png)).convert("RGBA")
        assert image.getpixel((0, 0))[3] == 0
    assert "2 calls · 1 cached · 1 fresh" in str(plot)
    assert str(plot).count("█") > 1


def test_an_empty_history_can_be_drawn(notebook):
    """Before the first call, history and its picture say that there were none."""
    assert "0 calls" in str(notebook.manage("history"))
    assert "0 calls" in str(notebook.manage("history --plot"))
    assert notebook.manage("history --plot").figure() is not None


CELLS = """
llm.invoke("a"); llm.invoke("a")
list(llm.stream("b")); list(llm.stream("b"))
llm.batch(["a", "b", "c"])
import asyncio, threading
t = threading.Thread(target=lambda: llm.invoke("c")); t.start(); t.join()
llm.model_copy(update={"cache": False}).invoke("a")
"""

OTHER_KERNEL = """
import sys
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI
from jupyter_llmcache import SQLiteCache, calls
cache = SQLiteCache("a.db")
set_llm_cache(cache)
llm = ChatOpenAI(model="gpt-test", temperature=0, api_key="k", base_url=sys.argv[1], max_retries=0)
for prompt in ("a", "b", "d", "d"):
    llm.invoke(prompt)
cache.close()
print(sum(c.kind == "hit" for c in calls()), sum(c.saved_s or 0 for c in calls()))
"""


def test_totals_agree_with_an_independent_count(notebook, openai_server):
    """Totals of the kernel and of the file agree with the server's and another kernel's counts."""
    shell = notebook.shell
    for cell in textwrap.dedent(CELLS).strip().splitlines():
        shell.run(cell)
    openai_server.hang_up = True
    shell.run("llm.invoke('never')", check=False)
    openai_server.hang_up = False
    answered = openai_server.answered
    code = [sys.executable, "-c", OTHER_KERNEL, openai_server.url]
    told = subprocess.run(code, capture_output=True, text=True, check=True, timeout=120)
    other_hits, other_saved_s = told.stdout.split()
    shell.run("llm.invoke('d')")

    session = notebook.manage("stats").data["session"]
    counted = {
        kind: sum(call.kind == kind for call in LEDGER.since(0))
        for kind in ("hit", "miss", "bypass", "error")
    }
    assert counted == {"hit": 6, "miss": 3, "bypass": 1, "error": 1}
    assert (session["hits"], session["misses"]) == (6, 3)
    assert (session["bypasses"], session["errors"]) == (1, 1)
    assert session["stored"] == 3
    assert answered == 4  # the misses and the bypass
    assert openai_server.answered == 5  # and the other kernel's miss
    mine_s = sum(call.saved_s or 0.0 for call in LEDGER.since(0))
    assert session["saved_s"] == pytest.approx(mine_s)
    assert session["tokens_saved"] == sum(
        call.usage["total_tokens"] for call in LEDGER.since(0) if call.kind == "hit" and call.usage
    )
    life = notebook.manage("stats").data["life"]
    assert life["hits"] == 6 + int(other_hits) == 9
    assert life["saved_s"] == pytest.approx(mine_s + float(other_saved_s))


# --- prices ---


def call_of(model: str, usage) -> Call:
    return Call(cell=None, kind="miss", model=model, key=None, wall_s=0.1, usage=usage)


USAGE = {"input_tokens": 1_000_000, "output_tokens": 0, "total_tokens": 1_000_000}


def test_a_known_model_has_a_price():
    """A million tokens of a known model cost what its provider's list says."""
    price = ledger.price_usd(call_of("openai:gpt-4o", USAGE))
    assert price is not None
    assert 1 < price < 10
    twice = ledger.total_usd([call_of("openai:gpt-4o", USAGE)] * 2)
    assert twice == 2 * price


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        ("openai:no-such-model", USAGE),
        ("no-such-provider:gpt-4o", USAGE),
        ("ollama:llama3", USAGE),
        ("demo", USAGE),
        ("openai:gpt-4o", None),
        ("openai:gpt-4o", {"input_tokens": "many"}),
    ],
)
def test_what_is_unknown_has_no_price(model, usage):
    """An unknown model, or a call without tokens, has no price, and no error."""
    assert ledger.price_usd(call_of(model, usage)) is None


def test_history_shows_money_where_it_is_known(notebook, chat_openai):
    """History has a price for each call of a known model, and what was saved in the totals."""
    notebook.shell.user_ns["priced"] = chat_openai(model="gpt-4o")
    notebook.ask("hi", "hi", flags="-m priced")
    table = notebook.manage("history")
    price = table.columns.index("price_usd")
    assert all(row[price] > 0 for row in table)
    assert "$" in table.title
    assert notebook.manage("stats").data["session"]["saved_usd"] > 0


def test_without_the_extra_there_are_tokens_only(notebook, chat_openai, monkeypatch):
    """Without genai-prices history shows tokens, and no money."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    monkeypatch.setattr(ledger, "_price_usd", ledger._price_usd.__wrapped__)  # not cached
    notebook.shell.user_ns["priced"] = chat_openai(model="gpt-4o")
    notebook.ask("hi", flags="-m priced")
    table = notebook.manage("history")
    assert "price_usd" not in table.columns
    assert "token" in table.title
    assert "$" not in table.title


# --- grammar ---


def test_every_subcommand_needs_a_cache(notebook):
    """Without a cache each subcommand that works on one says how to choose one."""
    notebook.manage("off")
    for name, each in subcommands("notebook").items():
        if each.on == "store":
            line = f"{name} x.jsonl" if name in ("export", "import") else name
            assert "no cache is on. Choose one first: %llm_cache sqlite FILE" in notebook.fail(line)


WRONG_USES = [
    ("list --modle x", "--model"),
    ("list --sort recnt", "recent"),
    ("list --since yesterday", "'yesterday' is not a duration"),
    ("list -n none", "'none' is not a whole number"),
    ("list extra", "extra"),
    ("list --model gpt-tset", "Did you mean 'gpt-test'?"),
    ("show lats", "Did you mean 'last'?"),
    ("show zz", "'zz' is not a key"),
    ("show 00000000000000000000000000000000", "no entry's key begins with"),
    ("explain 0123456789abcdef0123456789abcdef0", "is not a key"),
    ("forget", "Give keys, last, --grep, --model or --older-than"),
    ("forget --older-than 3", "'3' is not a duration"),
    ("forget last --yse", "--yes"),
    ("forget --grep", "lacks its"),
    ("prune", "Give --older-than, --max-entries or --max-size"),
    ("prune --max-size big", "'big' is not a size"),
    ("clear everything", "everything"),
    ("verify --fix", "no flag --fix"),
    ("history -n 0", "'0' is not a whole number"),
    ("lst", "Did you mean 'list'?"),
]


def test_a_wrong_use_is_one_line(notebook):
    """A wrong use fails with one line that names what is near or how to go on."""
    notebook.ask("hi")
    for line, told in WRONG_USES:
        assert told in notebook.fail(line), line


def test_an_ambiguous_key_names_some(notebook):
    """A beginning that several keys have is refused, with some of them named."""
    for number in range(3):
        key = bytes([0xAB, number]) + bytes(14)
        notebook.store.put(
            Entry(key, b"{}", float(number), None, request="{}", prompt='"p"', title="p")
        )
    error = notebook.fail("show ab")
    assert "ab begins more than one key: ab0000, ab0100, ab0200" in error


def test_last_before_any_call_is_the_newest_entry(notebook):
    """In a new kernel ``last`` names the entry that was recorded last."""
    notebook.store.put(Entry(b"a" * 16, b"{}", 1.0, None, title="older"))
    notebook.store.put(Entry(b"b" * 16, b"{}", 2.0, None, title="newer"))
    assert notebook.manage("forget last").data["keys"] == [(b"b" * 16).hex()]


@pytest.mark.parametrize(
    "line", ["forget last --yes", "clear --yes", "prune --max-entries 1 --yes"]
)
def test_a_read_only_file_is_not_changed(notebook, tmp_path, line):
    """On a read-only file whatever deletes is refused, and the bytes stay."""
    notebook.ask("hi", "ho")
    notebook.manage("sqlite a.db --read-only")
    before = (tmp_path / "a.db").read_bytes()
    assert "a.db is read-only" in notebook.fail(line)
    assert (tmp_path / "a.db").read_bytes() == before


# --- beside others ---


def _work(path: str, name: str, stop, results) -> None:
    """Write entries and read them back until told to stop."""
    store = SQLiteStore(path)
    lost, number = [], 0
    while not stop.is_set():
        key = f"{name}{number:015d}".encode()
        store.put(Entry(key, ANSWER, time.time(), 0.1, request="{}", prompt='"keep"', title="keep"))
        if store.get(key) is None:
            lost.append(key)
        number += 1
        time.sleep(0.001)
    missing = [n for n in range(number) if store.read(f"{name}{n:015d}".encode()) is None]
    store.close()
    results.put((number, len(lost), len(missing)))


def test_forgetting_beside_a_busy_kernel_loses_nothing_else(notebook, tmp_path):
    """While two processes write and read, forgetting and pruning take only what they name."""
    old = [
        Entry(f"old{n:013d}".encode(), ANSWER, 1.0 + n, 0.1, prompt='"old"', title="forget me")
        for n in range(300)
    ]
    notebook.store.put_many(old)
    processes = multiprocessing.get_context("spawn")
    stop, results = processes.Event(), processes.Queue()
    workers = [
        processes.Process(target=_work, args=(str(tmp_path / "a.db"), name, stop, results))
        for name in "xy"
    ]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + 30
    tenth = [f"{name}{9:015d}".encode() for name in "xy"]
    while not all(map(notebook.store.read, tenth)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for key in [record.key.hex() for record in old[:20]]:
        notebook.manage(f"forget {key} --yes")
    notebook.manage("forget --grep old --yes")
    notebook.manage("prune --older-than 1d --yes")
    stop.set()
    told = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert all(written > 0 for written, _, _ in told)
    assert [(lost, missing) for _, lost, missing in told] == [(0, 0), (0, 0)]
    assert notebook.store.count() == sum(written for written, _, _ in told)
    assert notebook.manage("verify").ok


def test_subcommands_work_beside_threads(notebook):
    """Lists and explanations are right while other threads call the model."""
    llm = notebook.shell.user_ns["llm"]
    notebook.ask("hi")
    threads = [threading.Thread(target=llm.invoke, args=(f"q{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        assert len(notebook.manage("list")) >= 1
        notebook.manage("explain")
    for thread in threads:
        thread.join()
    assert len(notebook.manage("list")) == 9


def test_paths_are_shown_as_they_were_given(notebook):
    """The store is named as the person named it."""
    assert "a.db" in notebook.manage("list").title
    assert Path("a.db").resolve().parent.as_posix() not in notebook.manage("list").title


def test_a_person_sees_text(notebook):
    """What is drawn in a terminal is the text of a report and of a table, not their repr."""
    notebook.ask("hi")
    assert "would delete 1 entry" in notebook.shell.run("%llm_cache forget last").seen
    assert "Report(" not in notebook.shell.run("%llm_cache stats").seen
    assert "1 of 1 entry in a.db" in notebook.shell.run("%llm_cache list").seen


def test_somebody_elses_cache(notebook):
    """Of a foreign cache clear and the kernel's totals work; what it cannot tell is one line."""
    notebook.shell.run("from langchain_core.caches import InMemoryCache")
    notebook.manage("use InMemoryCache()")
    notebook.ask("hi", "hi")
    assert notebook.manage("stats").data["session"]["hits"] == 1
    assert "everything in" in notebook.manage("clear").title
    assert "InMemoryCache" in notebook.manage("clear --yes").title
    notebook.ask("hi")
    assert [row[1] for row in notebook.manage("history")] == ["fresh", "cached", "fresh"]
    assert "cannot be listed" in notebook.fail("list")


def test_tab_offers_every_flag(notebook):
    """TAB offers each subcommand, and behind a dash each of its flags."""
    from jupyter_llmcache.jupyter.magics import offers

    session = notebook.shell._jupyter_llmcache.session
    for name, each in subcommands("notebook").items():
        offered = set(offers([f"%llm_cache {name} -"], {}, session).texts)
        assert {n for a in each.arguments if a.is_flag for n in a.names} <= offered
        assert name in offers([f"%llm_cache {name[:2]}"], {}, session).texts


def test_tab_offers_keys(notebook):
    """TAB behind the beginning of a key offers the keys that begin so."""
    from jupyter_llmcache.jupyter.magics import offers

    notebook.ask("hi")
    key = notebook.manage("list")[0][0]
    session = notebook.shell._jupyter_llmcache.session
    for line in ("show ", "forget ", "explain "):
        offered = offers([f"%llm_cache {line}{key[:2]}"], {}, session).texts
        assert [text[:8] for text in offered] == [key]
