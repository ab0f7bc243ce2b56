# In the layout of 0.7's generator, for the chat of its quick start: reducer set_name.

from collections.abc import Callable

from spacetimedb_sdk.spacetimedb_client import Address, Identity, SpacetimeDBClient

reducer_name = "set_name"


def set_name(name: str):
    SpacetimeDBClient.instance._reducer_call("set_name", name)


def register_on_set_name(callback: Callable[[Identity, Address, str, str, str], None]):
    SpacetimeDBClient.instance._register_reducer("set_name", callback)


def _decode_args(data):
    return [str(data[0])]
