"""The contract on several servers: a cluster of three, a primary with its sentinel."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from jupyter_llmcache.stores.base import Store
from jupyter_llmcache.stores.redis import RedisStore
from tests.servers.redis import redis_cluster, sentinel_pair, wait_until
from tests.unit.stores.contract import StoreContract
from tests.unit.stores.entries import entry, key_of


@pytest.fixture(scope="module")
def cluster_url():
    with redis_cluster() as servers:
        yield f"{servers[0].url}?cluster=true"


class TestCluster(StoreContract):
    """On three servers that share the keys."""

    @pytest.fixture(autouse=True)
    def _names(self, cluster_url):
        self.url, self.prefix = cluster_url, f"test-{uuid.uuid4().hex}"

    def open(self, folder: Path, **options: Any) -> Store:
        return RedisStore(self.url, prefix=self.prefix, readable=True, **options)


def test_failover():
    """When the primary dies, the store goes on with the one that the sentinel names."""
    with sentinel_pair() as (primary, replica, sentinel):
        store = RedisStore(f"redis+sentinel://127.0.0.1:{sentinel.port}/course/0")
        store.put(entry(1))
        wait_until(lambda: replica.client().dbsize() >= 3)
        primary.kill()
        store.put(entry(2))
        assert store.flush(20) == 0
        found = RedisStore(store_url(sentinel)).get_many([key_of(1), key_of(2)])
        assert len(found) == 2


def store_url(sentinel):
    return f"redis+sentinel://127.0.0.1:{sentinel.port}/course/0"
