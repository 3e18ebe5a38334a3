# `make` alone lists the targets.

.PHONY: help demo test test-moto test-clients static cross packages sbom licences install-docs pictures test-packer test-packages bench figures conformance fuzz soak check audit fmt fmt-check clippy doc

help:
	@echo 'make demo           build everything and show a whole MCP session, signed and relayed, from both ends'
	@echo 'make test           run all tests'
	@echo 'make check          what every change must pass: format, clippy, tests, documentation, dependencies'
	@echo '                    (rustfmt and clippy: rustup component add)'
	@echo 'make fmt            format the sources; clippy, doc and audit run the other parts of check alone'
	@echo
	@echo 'make conformance    run the official MCP suite through the proxy, on stdio and over HTTP'
	@echo '                    (Node 20; installs the suite from npm)'
	@echo 'make test-clients   run the official TypeScript and Python SDKs through the proxy, on stdio and over HTTP'
	@echo '                    (Node 20, python3; installs both SDKs)'
	@echo 'make test-moto      assume roles at a moto server, with MFA codes too'
	@echo '                    (python3; installs moto from PyPI into target/)'
	@echo 'make fuzz           fuzz every parser, 10 minutes each; SECONDS=60 TARGETS=url for less'
	@echo '                    (a C++ compiler)'
	@echo 'make soak           20,000 requests to a server that breaks at random, and to one that multiplies what it can;'
	@echo '                    COUNT=100000 SEED=7 for others'
	@echo 'make bench          signing, the whole program against no proxy and a bare relay, a listener, and a long link;'
	@echo '                    PEERS="COMMAND {url}; …" for other programs, BUILDS="release static" for the static binary, too'
	@echo
	@echo 'make static         build the static binary twice and try it in an empty root; TARGET=aarch64-unknown-linux-musl for the other'
	@echo '                    (rust-src, by rustup or from Debian; python3, and zig from PyPI, which it installs; root or user namespaces;'
	@echo '                    for another architecture qemu-user-static)'
	@echo 'make cross          build for Windows and macOS, and run all tests under wine'
	@echo '                    (rustup, python3; gcc-mingw-w64-x86-64 and wine64 of Debian; zig from PyPI, which it installs)'
	@echo 'make packages       pack what is in target/binaries (BINARIES=… for others) for every channel: PyPI, npm, MCPB, images, Homebrew, …'
	@echo '                    (Python 3.11, and what static needs if nothing was built yet)'
	@echo 'make test-packages  pack, and use every package as its users do'
	@echo '                    (Node 20, python3; installs uv, twine, mcpb, validators)'
	@echo 'make test-packer    test the packer and the workflows, with made-up binaries, in seconds'
	@echo '                    (Python 3.11)'
	@echo 'make sbom           write the list of libraries (CycloneDX) next to each binary in target/binaries'
	@echo '                    (installs cargo-cyclonedx)'
	@echo 'make licences       renew the licences of the libraries in the binaries, after a change of Cargo.lock'
	@echo '                    (Python 3.11)'
	@echo
	@echo 'make figures        renew the figures of README.md and docs/benchmarks.md, on a quiet machine, in half an hour'
	@echo '                    (installs mcp-proxy-for-aws from PyPI)'
	@echo 'make pictures       draw the pictures of doctor from two runs, that of speed from README.md'
	@echo '                    (python3, openssl, user namespaces)'
	@echo 'make install-docs   renew the commands of installation in README.md and docs/installing.md'
	@echo '                    (Python 3.11)'
	@echo
	@echo 'Rust 1.89 or newer (https://rustup.rs) and a C compiler are enough, unless parentheses name more.'

demo:
	cargo build --locked --bin sigv4-proxy --example demo
	cargo run --quiet --locked --example demo

test:
	cargo test --locked

test-moto: target/moto/bin/moto_server
	cargo build --quiet --locked --bin sigv4-proxy --example credentials-probe
	target/moto/bin/python tests/moto/check.py target/debug/examples/credentials-probe target/debug/sigv4-proxy

target/moto/bin/moto_server:
	python3 -m venv target/moto
	target/moto/bin/pip install --quiet 'moto[server]==5.2.2'

test-clients: tests/clients/node_modules target/clients/bin/python
	cargo build --quiet --locked --bin sigv4-proxy --example verifying-server
	tests/clients/run.sh target/debug/sigv4-proxy target/debug/examples/verifying-server target/clients/bin/python

tests/clients/node_modules: tests/clients/package-lock.json
	cd tests/clients && npm ci --no-audit --no-fund
	touch $@

target/clients/bin/python:
	python3 -m venv target/clients
	target/clients/bin/pip install --quiet 'mcp==2.3.0'

static: TARGET = x86_64-unknown-linux-musl
static:
	tests/static/run.sh $(TARGET)

packages: BINARIES = target/binaries
packages: $(if $(BINARIES),,target/binaries)
	python3 -B .github/release/pack.py "$(BINARIES)" target/packages $(ARGS)

target/binaries:
	$(MAKE) static

sbom: target/binaries
	.github/release/sbom.sh target/binaries

licences:
	python3 -B .github/release/third_party.py

install-docs:
	python3 -B .github/release/install_docs.py

pictures:
	cargo build --quiet --locked --bin sigv4-proxy --example verifying-server
	python3 -B tests/pictures/doctor.py target/debug/sigv4-proxy target/debug/examples/verifying-server
	python3 -B tests/pictures/speed.py

test-packer:
	python3 -B -m unittest discover --start-directory tests/packages

test-packages: BINARIES = target/binaries
test-packages: $(if $(BINARIES),,target/binaries)
	tests/packages/run.sh "$(BINARIES)"

cross:
	tests/cross/run.sh

STATIC_TARGET = $(shell uname -m)-unknown-linux-musl

bench: BUILDS = release
bench:
	$(if $(filter static,$(BUILDS)),tests/static/build.sh $(STATIC_TARGET) target/static)
	ulimit -S -n 4096; cargo bench --locked --bench bench -- $(if $(filter static,$(BUILDS)),--static target/static/$(STATIC_TARGET)/release/sigv4-proxy) \
		$(if $(PEERS),--peer '$(PEERS)') $(ARGS)

# What the README and docs/benchmarks.md say, measured: on a machine that does nothing else, with five rounds.
figures: target/peers/bin/mcp-proxy-for-aws
	$(MAKE) bench BUILDS='release static' ARGS='--rounds 5 $(ARGS)' \
		PEERS='$< {url} --service execute-api --region us-east-1'
	python3 -B tests/bench/page.py
	$(MAKE) pictures

target/peers/bin/mcp-proxy-for-aws:
	python3 -m venv target/peers
	target/peers/bin/pip install --quiet 'mcp-proxy-for-aws==1.7.0'

conformance: tests/conformance/node_modules
	cargo build --quiet --locked --release
	cargo build --quiet --locked --example gate
	SIGV4_PROXY=$(CURDIR)/target/release/sigv4-proxy GATE=$(CURDIR)/target/debug/examples/gate \
		node tests/conformance/run.mjs $(ONLY)

tests/conformance/node_modules: tests/conformance/package-lock.json
	cd tests/conformance && npm ci --no-audit --no-fund
	touch $@

fuzz: SECONDS = 600
fuzz:
	tests/fuzz/run.sh $(SECONDS) $(TARGETS)

soak: COUNT = 20000
soak: SEED = 1
soak:
	cargo build --quiet --locked --release --bin sigv4-proxy --example soak
	ulimit -n 4096; target/release/examples/soak target/release/sigv4-proxy $(COUNT) $(SEED)

check: fmt-check clippy test doc audit

fmt:
	cargo fmt

fmt-check:
	cargo fmt --check

clippy:
	cargo clippy --locked --all-targets -- -D warnings

# Licences and duplicates are tested in tests/it; advisories need their database, and a tool that reads it.
audit:
	@cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null
	@if command -v cargo-deny >/dev/null; then cargo deny --config .github/deny.toml --offline check bans licenses sources; \
	else echo 'cargo-deny is not installed: its rules (.github/deny.toml) are not checked'; fi
	@if command -v cargo-audit >/dev/null; then cargo audit; \
	else echo 'cargo-audit is not installed: no advisories are looked up'; fi

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
