"""Every state that people see, as a notebook: a name and a cell each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers.openai import OpenAIServer, Reply, last_text, rate_limited
from tests.system.browser.models import LESSON, MIXED_ANSWER

_SETUP = (
    """
import base64
from pathlib import Path
%load_ext jupyter_llmcache
%llm_cache sqlite course.db
from jupyter_llmcache.draw import publish
from jupyter_llmcache.draw.grid import AnswerCell, AnswersTable
from jupyter_llmcache.ledger import LEDGER
from langchain.agents import create_agent
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call
from langchain_openai import ChatOpenAI
from matplotlib.figure import Figure
from pydantic import BaseModel
from tests.system.browser.models import SlowModel
small, large = (
    ChatOpenAI(model=name, base_url="URL", api_key="k", max_retries=0)
    for name in ("gpt-4o-mini", "gpt-4o")
)
llm = small
"""
    + LESSON
    + """\
agent = create_agent(small, [add])
chart = Figure(figsize=(2, 1))
chart.subplots().plot([1, 3, 2])
chart.savefig("cats.png")
png = base64.b64encode(Path("cats.png").read_bytes()).decode()
painter = FakeMessagesListChatModel(responses=[
    AIMessage("", tool_calls=[tool_call(name="search", args={"query": "cats"}, id="1")]),
    AIMessage([{"type": "text", "text": "A *chart*:"},
               {"type": "image", "base64": png, "mime_type": "image/png"}]),
])
class Persona(ChatOpenAI):
    def _generate(self, *args, **kwargs):
        return super()._generate(*args, **kwargs)
persona = Persona(model="gpt-4o-mini", base_url="URL", api_key="k")
class Stops(SlowModel):
    def _stream(self, *args, **kwargs):
        for number, piece in enumerate(super()._stream(*args, **kwargs)):
            if number == 30:
                raise KeyboardInterrupt
            yield piece
stopped = Stops(first_s=0)
"""
)
_COLUMNS = """
cells = [AnswerCell(row, column, "Some *text*. " * 60 ** (row == "cats"), [LEDGER.last()], 0.1)
         for row in ("cats", "dogs") for column in ("a", "b")]
cells.append(AnswerCell("dogs", "c", "", error="429: too many requests"))
for bundle in AnswersTable(cells, wall_s=1, diff=True).bundles():
    publish(bundle)
"""
#: In this order, in one notebook; each cell is an ordinary one but for what it is called after.
STATES = {
    "setup": _SETUP,
    "fresh": "%%llm\nExplain sorting, briefly.",
    "cached": "%%llm\nExplain sorting, briefly.",
    "one line": "%llm Say a word",
    "JSON": "%%llm -f json\nGive me the weather as JSON.",
    "text": "%%llm -f text\nExplain sorting, briefly.",
    "code": "%%llm -f code\nExplain sorting, briefly.",
    "long": "%%llm\nA long answer, please.",
    "prices and formulas": "%%llm\nPrices and formulas, please.",
    "hostile": "%%llm\nSomething hostile, please.",
    "empty": "%%llm\nNothing.",
    "refused": "%%llm --no-stream\nRefuse.",
    "tool called": "%%llm -m painter\nLook it up.",
    "picture": "%%llm -m painter\nPaint.",
    "cut": "%%llm -p max_tokens=5\nCut it.",
    "not cached": "%%llm -m persona\nSay a word",
    "bypassed": "%%llm --no-cache\nSay a word",
    "interrupted": "%%llm -m stopped\nExplain sorting, briefly.",
    "failed": "%%llm\nToo many requests.",
    "unknown model": "%%llm -m lagre\nSay a word",
    "unknown name": "%%llm\nTell me about {{topcis}}",
    "unknown flag": "%%llm --refrehs\nSay a word",
    "ordinary cell": "small.invoke('Say a word').text",
    "many calls": "[m.text[:20] for m in large.batch(topics + ['cats', 'x', 'y'])]",
    "grid": "%%llm -m small -m large --each topic=topics -o table\nTell me of {{topic}}",
    "grid of samples": "%%llm -m small --samples 3 --vary temperature=0,1\nTell me of cats",
    "grid with an error": _COLUMNS,
    "differences": "%%llm -m small -m large --diff\nTell me of cats",
    "object": "%%llm --schema Zoo\nanimals",
    "object that does not fit": "%%llm --schema Zoo\nnonsense",
    "attached": "%%llm --attach chart -o seen\nWhat is it?",
    "goes on": "%%llm --after seen\nShorter?",
    "agent": "%%llm -m agent\nsum",
    "prompt shown": '%%llm -s "Be brief" --show-prompt\nTell me of {{topics[0]}}',
    "status": "%llm_cache",
    "models": "%llm_cache models",
    "list": "%llm_cache list",
    "show": "%llm_cache show last",
    "explain": "%llm_cache explain",
    "history": "%llm_cache history -n 8",
    "plot": "%llm_cache history --plot",
    "stats": "%llm_cache stats",
    "verify": "%llm_cache verify",
    "export": "%llm_cache export lesson.db --used",
    "forget": "%llm_cache forget --grep cats",
    "prune": "%llm_cache prune --older-than 30d",
    "wrong word": "%llm_cache mode reply",
    "mode": "%llm_cache mode replay",
    "not recorded": "%%llm\nExplain sorting, brefly.",
    "not recorded, caught": "try: small.invoke('Say a wrod')\nexcept Exception: print('caught')",
    "replayed": "%%llm\nExplain sorting, briefly.",
    "off": "%llm_cache mode auto\n%llm_cache off",
    "nothing on": "%llm_cache",
}
#: These are looked at while they run: the name, the cell, how many seconds after it began.
MOVING = {
    "waiting": ("%%llm -m slow --no-cache\nWait.", 1.0),
    "streaming": ("%%llm -m slow --no-cache\nExplain sorting, briefly.", 4.0),
    "table grows": (
        "%%llm -m small --no-cache --jobs 2 --each n=numbers\nslow {{n}}",
        3.0,
    ),
    "calls": (
        "small.batch([f'slow {n}' for n in numbers], config={'max_concurrency': 2});",
        3.0,
    ),
}
MOVING_SETUP = (
    "%llm_cache memory\nslow = SlowModel(tokens_per_s=30, first_s=2)\nnumbers = list(range(12))"
)

_PRICES = r"""A call costs $0.15, ten cost $1.50 (set `$OPENAI_API_KEY`).

The loss is $L(\theta) = \frac{1}{n}\sum_{i=1}^n \ell(y_i, f_\theta(x_i))$, and

$$\nabla L = \begin{pmatrix} \partial_1 L \\ \partial_2 L \end{pmatrix}$$

| plan | price | limit |
|:---|---:|:---:|
| free | $0 | $n < 10$ |
| paid | $20 a month<br>or $200 a year | ~~none~~ *some* |

- [x] done, see [the docs](https://a.org/b_c)
- [ ] open[^1]

[^1]: A footnote.

设$x$为正数，则$x^2 > 0$。
"""
_HOSTILE = r"""<script>alert(1)</script> <img src=x onerror=alert(1)>

![picture](https://evil.example/p.png) [click](javascript:alert(1))

$\href{https://evil.example}{x}$ and $\definecolor{red}{rgb}{1,1,1}\color{red}x$

$$\rule{1em}{99999cm}$$

```html
<style>body{display:none}</style>
```
"""


def _say(body: dict[str, Any]) -> Any:
    text = last_text(body)
    if text.startswith("slow"):
        time.sleep(0.9)
    if "Too many" in text:
        return rate_limited()
    said: dict[str, Any] = {
        "animals": '{"animals": [{"name": "Lion", "legs": 4}, {"name": "Bee", "legs": 6}]}',
        "nonsense": '{"animals": "none"}',
        "Nothing.": "",
        "Refuse.": Reply(None, refusal="I'm sorry, I can't help with that."),
        "Cut it.": Reply("One two three four five", finish_reason="length"),
        "Give me the weather as JSON.": '{"city": "Oslo", "days": [{"sun": 1}, {"sun": 2}]}',
        "A long answer, please.": "\n\n".join(
            f"## Chapter {number}\n\n{'Words of a long answer. ' * 80}" for number in range(1, 12)
        ),
        "Prices and formulas, please.": _PRICES,
        "Something hostile, please.": _HOSTILE,
        "Explain sorting, briefly.": MIXED_ANSWER,
    }
    if text == "sum" and len(body["messages"]) < 3:
        return Reply("Let me add.", tool_calls=[("add", {"x": 2, "y": 3})])
    well = "well, " * (30 if "dogs" in text else 3)
    return said.get(text, f"**{body['model']}** says of *{text}*: {well}that is it.")


@contextmanager
def served_states() -> Iterator[dict[str, str]]:
    """Yield the states while a server answers what their cells ask."""
    with OpenAIServer(_say) as server:
        yield {name: cell.replace("URL", server.url) for name, cell in STATES.items()}
