import LMSupport

/// Everything that can be set on the command line of `lmserve bench`.
struct BenchSettings {
    var model = ModelSettings()
    var promptLength = 512
    var generateLength = 128
    var batches = [1]
    var depths = [0]
    var threads: [Int] = []
    var repetitions = 3
    var maxNumBatchedTokens = 512
    var format = Format.text

    enum Format: String, CaseIterable {
        case text, json
    }

    static var table: OptionTable<BenchSettings> {
        OptionTable(
            usage: "lmserve bench --model PATH|NAME [OPTIONS]",
            summary: """
                Measures the engine alone, without a server: how many tokens a second it reads (prefill) and writes
                (decode), for every combination of thread count, batch size and depth, and how much that is of what the
                machine can do: its weights read once a step at the memory's speed, its products at the peak of the
                instructions, both measured here before.
                """,
            groups: [
                // --threads is a list here.
                OptionGroup(
                    "Model", ModelSettings.options(at: \BenchSettings.model).filter { $0.names != ["--threads"] }),
                OptionGroup("Measurement", measurementOptions),
            ])
    }

    private static var measurementOptions: [Option<BenchSettings>] {
        [
            .value(
                "--prompt", as: .integer("TOKENS", in: 0...1 << 20), to: \.promptLength,
                "prompt length (default 512; 0 to measure no prefill)"),
            .value(
                "--generate", as: .integer("TOKENS", in: 0...1 << 20), to: \.generateLength,
                "tokens generated per sequence (default 128; 0 to measure no decode)"),
            .value(
                "--batch", as: .list(of: .integer(in: 1...4096)), to: \.batches,
                "sequences at the same time (default 1)"),
            .value(
                "--depth", as: .list(of: .integer(in: 0...1 << 20)), to: \.depths,
                "tokens of every sequence in the cache before (default 0)"),
            .value(
                "--threads", as: .list(of: .integer(in: 1...1024)), to: \.threads,
                "compute threads (default one per core)"),
            .value(
                "--repetitions", as: .integer(in: 1...1000), to: \.repetitions,
                "runs of which the median counts (default 3)"),
            .value(
                "--max-num-batched-tokens", as: .integer("TOKENS", in: 1...1 << 20), to: \.maxNumBatchedTokens,
                "tokens computed in one step (default 512)"),
            .value("--format", as: .choice(), to: \.format, "a table, or one JSON object a line"),
        ]
    }
}
