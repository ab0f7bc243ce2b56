# In the layout of 0.7's generator: a reducer.

from spacetimedb_sdk.spacetimedb_client import SpacetimeDBClient

reducer_name = "insert_pk_u64"


def register_on_insert_pk_u64(callback):
    SpacetimeDBClient.instance._register_reducer("insert_pk_u64", callback)


def _decode_args(data):
    return [int(data[0]), int(data[1])]
