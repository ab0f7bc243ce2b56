"""Tables, reducers and the rest as Python objects, the same on every host."""
