# The stack on one machine. What each target does is in tools/setup.

export CARGO_TARGET_DIR ?= $(HOME)/.cache/konstruct/target

.PHONY: dev dev-reset dlq-redrive setup build-local test deploy-test

# Starts everything and runs until Ctrl-C or SIGTERM.
dev:
	@tools/setup/dev

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
	@tools/setup/deploy-test

# The template deployed to an emulator that enforces IAM, and every permission taken away once (tests/deploy).
# FUNCTIONS_DIR names other binaries than those of `build-local`.
deploy-test: setup
	@tools/setup/deploy-test
