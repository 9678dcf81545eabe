# The stack on one machine. What each target does is in tools/setup.

export CARGO_TARGET_DIR ?= $(HOME)/.cache/konstruct/target

.PHONY: dev dev-reset swap dlq-redrive trace setup build-local test deploy-test check-template invoke-test invoke package

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

# One message's way through the local logs: make trace ID=… (a trace, message, conversation or request).
trace:
	@tools/setup/trace "$(ID)"

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
	@tools/setup/check-template

# The template deployed to an emulator that enforces IAM, and every permission taken away once (tests/deploy).
# FUNCTIONS_DIR names other binaries than those of `build-local`.
deploy-test: setup
	@tools/setup/deploy-test

# What SAM, cfn-lint and checkov say of infra/ and samconfig.toml.
check-template:
	@tools/setup/check-template

# Every sample event of events/ under AWS's runtime interface emulator, on a stack of its own.
invoke-test: setup
	@tools/invoke/test

# One function under the emulator, against the running stack: make invoke FUNCTION=ws-auth EVENT=events/ws-auth/auth.json
# PROFILE=local builds quicker than release.
invoke:
	@tools/invoke/invoke

# Every function for Lambda, in target/lambda/<function>/bootstrap. ARCH=x86_64 for the other architecture.
package:
	@tools/setup/package
