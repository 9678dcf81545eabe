# The stack on one machine. What each target does is in tools/setup.

export CARGO_TARGET_DIR ?= $(HOME)/.cache/konstruct/target

.PHONY: dev dev-reset swap dlq-redrive setup build-local test

# Starts everything and runs until Ctrl-C or SIGTERM.
dev:
	@tools/setup/dev

# Builds, and swaps the running stack's functions for what was built.
swap:
	@tools/setup/swap

# Deletes the stack's data.
dev-reset:
	@tools/setup/reset

# Moves the running stack's dead letters back to their queues. On AWS: docs/OPERATIONS.md.
dlq-redrive:
	@tools/setup/dlq-redrive

# Installs what is missing, without starting anything.
setup:
	@tools/setup/packages
	@tools/setup/python

# Builds what `make dev` runs.
build-local:
	@cargo build --profile local --workspace --bins

# Every test: units, integration on real Postgres and Redis, end to end on the stack, and a death at every named point
# (built apart, so that no function has the points). Installs what is missing.
test: setup build-local
	@cargo test --profile local --workspace
	@cargo test --profile local --workspace --features konstruct-tests/failpoints --test failpoints
