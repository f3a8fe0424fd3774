import LMSupport

/// Everything that can be set on the command line of `lmload`. Names are those of `vllm bench serve`.
struct LoadSettings {
    var server = ServerOptions()
    var connections = 1
    var model: String?
    var promptCount = 1000
    var requestRate = Double.infinity
    var burstiness = 1.0
    var maxConcurrency: Int?
    var inputLength = 1024
    var outputLength = 128
    var rangeRatio = 0.0
    var seed: UInt64 = 0
    var percentiles = [99.0]
    var resultFile: String?

    static var table: OptionTable<LoadSettings> {
        OptionTable(
            usage: "lmload [OPTIONS]",
            summary: """
                Loads an lmserve server with random prompts and reports latencies and throughput as 'vllm bench serve' does.
                With --max-concurrency alone the next request is sent when one ends (closed loop); with --request-rate
                requests arrive on their own schedule (open loop).
                """,
            groups: [
                OptionGroup("Server", serverOptions), OptionGroup("Load", loadOptions),
                OptionGroup("Workload", workloadOptions), OptionGroup("Report", reportOptions),
            ],
            epilogue: """
                Examples:
                  lmload --num-prompts 64 --max-concurrency 8 --random-input-len 128 --random-output-len 128
                  lmload --num-prompts 200 --request-rate 4 --save-result result.json
                """)
    }

    private static var serverOptions: [Option<LoadSettings>] {
        ServerOptions.options(at: \.server) + [
            .value("--model", "-m", as: .text("NAME"), to: \.model, "model to load (default the server's first)")
        ]
    }

    private static var loadOptions: [Option<LoadSettings>] {
        [
            .value("--num-prompts", as: .integer(in: 1...10_000_000), to: \.promptCount, "requests (default 1000)"),
            .value(
                "--request-rate", as: .number("R", in: 0.000_001 ... .infinity), to: \.requestRate,
                "requests a second, or inf for all at once (default inf)"),
            .value(
                "--burstiness", as: .number("G", in: 0.01 ... .infinity), to: \.burstiness,
                "shape of the gaps: 1 is Poisson, less is burstier, inf is constant (default 1)"),
            .value(
                "--max-concurrency", as: .integer(in: 1...100_000), to: \.maxConcurrency,
                "most requests in flight (default no limit)"),
            .value(
                "--connections", as: .integer(in: 1...1024), to: \.connections,
                "connections that the requests share (default 1)"),
        ]
    }

    private static var workloadOptions: [Option<LoadSettings>] {
        [
            .value(
                "--random-input-len", as: .integer("TOKENS", in: 1...1 << 20), to: \.inputLength,
                "tokens of a prompt (default 1024)"),
            .value(
                "--random-output-len", as: .integer("TOKENS", in: 1...1 << 20), to: \.outputLength,
                "tokens of an answer; end tokens are ignored (default 128)"),
            .value(
                "--random-range-ratio", as: .number("R", in: 0...0.999), to: \.rangeRatio,
                "lengths vary by this share around their mean (default 0)"),
            .value("--seed", as: .integer(in: 0 ... .max), to: \.seed, "repeats the same load (default 0)"),
        ]
    }

    private static var reportOptions: [Option<LoadSettings>] {
        [
            .value(
                "--metric-percentiles", as: .list(of: .number("P", in: 0...100)), to: \.percentiles,
                "percentiles to report (default 99)"),
            .value("--save-result", as: .text("FILE"), to: \.resultFile, "write the result as JSON, with vLLM's keys"),
        ]
    }
}
