# `make` alone prints what there is.

.PHONY: help demo test check fmt fmt-check clippy doc

help:
	@echo 'make demo    build everything and show a whole MCP session, signed and relayed, from both ends'
	@echo 'make test    run all tests'
	@echo 'make check   what every change must pass: format, clippy, tests, documentation'
	@echo 'make fmt     format the sources'
	@echo
	@echo 'All that is needed is Rust 1.88 or newer (https://rustup.rs) and a C compiler.'

demo:
	cargo build --quiet --locked
	cargo run --quiet --locked --example demo

test:
	cargo test --locked

check: fmt-check clippy test doc

fmt:
	cargo fmt

fmt-check:
	cargo fmt --check

clippy:
	cargo clippy --locked --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
