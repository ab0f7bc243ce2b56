"""Measures this SDK against the official Rust and TypeScript clients, all fed with the same bytes. See `README.md`."""
