"""Programs made of the other SDKs, which the benchmarks measure ours beside and which judge the in-process server."""
