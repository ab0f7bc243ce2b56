"""What all tests share."""

import hypothesis
import pytest

from spacetimedb_proto.cache import TableCache

# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_addoption(parser):
    parser.addoption("--eager", action="store_true", help="put nothing off in the cache, and take no short ways")
    parser.addoption("--build-judges", action="store_true", help="build the programs of the other SDKs first")


def pytest_configure(config):
    if config.getoption("--eager"):
        TableCache.is_lazy = False


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param
