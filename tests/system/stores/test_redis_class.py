"""A class on one server: many processes ask the same questions, and each is paid once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.servers.openai import OpenAIServer, last_text
from tests.servers.redis import RedisServer

STUDENT = Path(__file__).with_name("redis_student.py")
ROOT = Path(__file__).resolve().parents[3]


def start(redis: RedisServer, provider: OpenAIServer, **told: Any) -> subprocess.Popen[str]:
    """Start a student's process; it waits for a line before it asks."""
    words = [redis.url, provider.url, told["questions"], told["seed"], told["threads"]]
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(STUDENT), *map(str, words), str(told["pause_s"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def a_class(
    redis: RedisServer, provider: OpenAIServer, processes: int, **told: Any
) -> list[subprocess.Popen[str]]:
    """Start all, wait until each is ready, and let them begin together."""
    students = [start(redis, provider, seed=n, **told) for n in range(processes)]
    for student in students:
        assert student.stdout.readline() == "ready\n"
    for student in students:
        student.stdin.write("go\n")
        student.stdin.flush()
    return students


def reports(students: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """What each process that was not killed told at its end."""
    told = []
    for student in students:
        out, _ = student.communicate(timeout=240)
        if student.returncode >= 0:
            told.append(json.loads(out))
    return told


def a_provider() -> OpenAIServer:
    server = OpenAIServer(lambda body: f"answer to {last_text(body)}")
    server.delay_s = 0.02
    return server


def paid(provider: OpenAIServer) -> Counter[str]:
    """How often each question reached the provider."""
    return Counter(last_text(seen.body) for seen in provider.requests)


def test_a_class_pays_each_question_once(own_server):
    """Processes that ask the same questions at once, in any order, pay each of them once."""
    with a_provider() as provider:
        students = a_class(own_server, provider, 4, questions=30, threads=2, pause_s=0)
        told = reports(students)
        assert [each["faults"] for each in told] == [[]] * 4
        assert paid(provider) == {f"question {n}": 1 for n in range(30)}
        assert sum(each["misses"] for each in told) == 30


@pytest.mark.parametrize(
    ("rounds", "questions"),
    [(1, 40), pytest.param(20, 200, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])],
)
def test_a_server_and_students_that_die(rounds, questions):
    """Kills of the server and of students cost at most one more payment a question and kill."""
    for _ in range(rounds):
        with RedisServer(appendonly="yes", appendfsync="always") as redis, a_provider() as provider:
            processes = 12 if questions == 200 else 4
            students = a_class(
                redis, provider, processes, questions=questions, threads=1, pause_s=0.1
            )
            for student in students[:2]:
                time.sleep(0.4)
                student.kill()
            for _ in range(3):
                time.sleep(0.6)
                redis.kill()
                time.sleep(0.2)
                redis.start()
            kills = 5
            told = reports(students)
            assert [each["faults"] for each in told] == [[]] * (processes - 2)
            assert sum(each["left"] for each in told) == 0
            counts = paid(provider)
            assert len(counts) == questions
            # Each kill may cost, for what was in flight then, each process one payment more.
            assert max(counts.values()) <= 1 + kills
            assert sum(counts.values()) - questions <= kills * processes


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_students(own_server):
    """200 students at 5 calls a second for a minute: no fault, quick hits, each question once."""
    with a_provider() as provider:
        students = a_class(own_server, provider, 10, questions=300, threads=20, pause_s=0.2)
        told = reports(students)
        assert [each["faults"] for each in told] == [[]] * 10
        assert paid(provider) == {f"question {n}": 1 for n in range(300)}
        assert max(each["p99_s"] for each in told) < 0.010


@pytest.fixture
def own_server():
    with RedisServer() as running:
        yield running
