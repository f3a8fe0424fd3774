internal import LMSupport

/// A running `lmserve` on a free port; stopped when the value goes away.
package struct Server: Sendable {
    /// The program.
    package let process: ChildProcess
    /// Where it listens.
    package let address: String

    /// Starts it and waits until it is ready.
    ///
    /// - Parameters:
    ///   - options: of `lmserve`, after the model and the address.
    ///   - model: a GGUF file; nil for the one that LM_TEST_MODEL names.
    ///   - shell: text of `/bin/sh` that prepares the process and runs `"$@"` in its place; nil to start it directly.
    /// - Throws: `ChildProcess.Failure` with what the server said.
    package init(
        _ options: [String] = [], model: String? = nil, listen: String = "127.0.0.1:0", shell: String? = nil
    ) throws {
        guard let model = model ?? Programs.model else {
            throw ChildProcess.Failure(description: "no model: LM_TEST_MODEL is not set")
        }
        let arguments = ["--model", model, "--listen", listen, "--kv-cache-memory", "512MiB"] + options
        let program = try Programs.path("lmserve")
        process =
            if let shell {
                try ChildProcess("/bin/sh", ["-c", shell, "sh", program] + arguments)
            } else {
                try ChildProcess(program, arguments)
            }
        let prefix = "listening on "
        guard let output = process.output(until: { $0.hasPrefix(prefix) && $0.hasSuffix("\n") }) else {
            let outcome = try process.finish(within: .seconds(5))
            throw ChildProcess.Failure(
                description: "lmserve did not become ready (\(outcome.status)): \(outcome.errors)")
        }
        address = String(output.dropFirst(prefix.count).prefix { $0 != "\n" })
    }

    /// Runs `lmcall` against it to the end.
    package func call(_ arguments: String..., input: [UInt8] = []) throws -> ChildProcess.Outcome {
        try Programs.run("lmcall", arguments, input: input, environment: ["LMCALL_HOST": address])
    }

    /// Starts `lmcall` against it.
    package func startCall(_ arguments: String...) throws -> ChildProcess {
        let child = try ChildProcess(Programs.path("lmcall"), arguments, environment: ["LMCALL_HOST": address])
        child.closeInput()
        return child
    }

    /// Value of a counter or gauge.
    package func statistic(_ name: String) throws -> UInt64? { try statistics()[name] }

    /// All counters and gauges.
    package func statistics() throws -> [String: UInt64] {
        let outcome = try call("stats", "--format", "json")
        return try JSONText.decode([String: UInt64].self, from: Array(outcome.output.utf8), source: "stats")
    }
}
