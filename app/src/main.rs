//! The `unship` command.

fn main() -> std::process::ExitCode {
    unship::cli::main()
}
