"""One filled store for all tests that only read."""

import uuid

import httpx2
import pytest

from tests.support.history import a_store, sample_events, served


@pytest.fixture(scope="session")
def sample_store(opensearch_url):
    """A store that holds the demo's archive."""
    with a_store(opensearch_url, f"h{uuid.uuid4().hex[:12]}") as stored:
        stored.put(sample_events())
        yield stored


@pytest.fixture(scope="session")
def sample_url(sample_store):
    """History over it, for whoever is on this machine."""
    with served(sample_store.settings()) as url:
        yield url


@pytest.fixture
def sample(sample_url):
    """A client of it."""
    with httpx2.Client(base_url=sample_url, timeout=30) as client:
        yield client


@pytest.fixture
def store(opensearch_url, namespace):
    """An empty store of the test's own."""
    with a_store(opensearch_url, namespace) as stored:
        yield stored
