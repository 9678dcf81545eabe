//! Only starts it: what it does is in `konstruct-runtime`.

fn main() -> std::process::ExitCode {
    konstruct_runtime::conversations_escalation::main()
}
