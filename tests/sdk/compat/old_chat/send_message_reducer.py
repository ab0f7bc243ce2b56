# In the layout of 0.7's generator, for the chat of its quick start: reducer send_message.

from collections.abc import Callable

from spacetimedb_sdk.spacetimedb_client import Address, Identity, SpacetimeDBClient

reducer_name = "send_message"


def send_message(text: str):
    SpacetimeDBClient.instance._reducer_call("send_message", text)


def register_on_send_message(callback: Callable[[Identity, Address, str, str, str], None]):
    SpacetimeDBClient.instance._register_reducer("send_message", callback)


def _decode_args(data):
    return [str(data[0])]
