import LMEngine
import LMServer
import LMSupport

/// Everything that can be set on the command line of `lmserve`.
struct ServeSettings {
    var model = ModelSettings()
    var listen: [String] = []
    var servedModelName: String?
    var chatTemplate: String?
    var adapters: [AdapterOption] = []
    var generationConfig = GenerationConfig.auto
    var maxModelLength: Int?
    var dataParallelSize = 1
    var maxNumSeqs = defaults.maxNumSeqs
    var maxNumBatchedTokens = defaults.maxNumBatchedTokens
    var keyValueCacheBytes: Int?
    var certificateFile: String?
    var privateKeyFile: String?
    var clientAuthorityFile: String?
    var minimumTLSVersion = ServerConfiguration.TLSVersion.v1_2
    var apiKeyFile: String?
    var drainTimeout: Duration?
    var limits: [String] = []

    /// Whether requests that do not say are answered as the model recommends.
    enum GenerationConfig: String, CaseIterable {
        case auto, none
    }

    private static let defaults = EngineOptions()
    /// Where the server listens when nothing is said: on this machine only.
    static let defaultListen = "127.0.0.1:7433"

    static var table: OptionTable<ServeSettings> {
        OptionTable(
            usage: """
                lmserve --model PATH|NAME [OPTIONS]
                       lmserve bench --model PATH|NAME [OPTIONS]
                       lmserve eval --perplexity FILE --model PATH|NAME [OPTIONS]
                       lmserve inspect MODEL [OPTIONS]
                       lmserve doctor --npu [--model PATH|NAME]
                       lmserve key new NAME [OPTIONS]
                       lmserve limits
                """,
            summary: """
                Serves a language model over the lmcall protocol. Once it is ready it prints 'listening on ADDRESS' on
                standard output for each address; everything else it says goes to standard error.
                SIGTERM or SIGINT lets running requests finish; a second one stops at once. SIGHUP reads keys and
                certificates again.
                """,
            groups: [
                OptionGroup("Model", ModelSettings.options(at: \.model) + modelOptions),
                OptionGroup("Capacity", capacityOptions),
                OptionGroup("Network", networkOptions),
            ],
            epilogue: """
                Examples:
                  lmserve --model SmolLM2-135M-Instruct.Q4_1
                  lmserve --model qwen.gguf --listen 0.0.0.0:7433 --tls-cert c.pem --tls-key k.pem --api-key-file keys
                  lmserve --model ~/models/Qwen2.5-0.5B-Instruct --lora sql=adapters/sql --lora poet=adapters/poet
                  lmserve bench --model qwen.gguf --prompt 512 --generate 128 --batch 1,8,32
                """)
    }

    private static var chatTemplates: String {
        ChatTemplate.Format.allCases.map(\.rawValue).joined(separator: ", ")
    }

    private static var modelOptions: [Option<ServeSettings>] {
        [
            .value(
                "--served-model-name", as: .text("NAME"), to: \.servedModelName,
                "name that requests use (default the name of the file or folder)"),
            .value(
                "--chat-template", as: .text("NAME|FILE"), to: \.chatTemplate,
                "built-in chat template (\(chatTemplates)), or file with one, to use instead of the model's own"),
            .repeated(
                "--lora", as: AdapterOption.parser, to: \.adapters,
                "LoRA adapter as PEFT saves it, for requests that name NAME as their model; may be repeated"),
            .value(
                "--generation-config", as: .choice(), to: \.generationConfig,
                "'auto' samples as the model's generation_config.json says where requests do not; 'none' ignores it "
                    + "(default auto)"),
        ]
    }

    private static var capacityOptions: [Option<ServeSettings>] {
        [
            .value(
                "--max-model-len", as: .integer("TOKENS", in: 1...1 << 24), to: \.maxModelLength,
                "prompt and answer together (default what the model was trained for)"),
            .value(
                "--data-parallel-size", as: .integer(in: 1...AscendDivision.largest), to: \.dataParallelSize,
                "copies of the model, each on NPUs of its own; a request goes to the one with the fewest tokens before it, "
                    + "and limits hold for each (default 1)"),
            .value(
                "--max-num-seqs", as: .integer(in: 1...4096), to: \.maxNumSeqs,
                "requests that generate at the same time (default \(defaults.maxNumSeqs))"),
            .value(
                "--max-num-batched-tokens", as: .integer("TOKENS", in: 1...1 << 20), to: \.maxNumBatchedTokens,
                "tokens computed in one step; more is faster for long prompts and slower for others "
                    + "(default \(defaults.maxNumBatchedTokens))"),
            .value(
                "--kv-cache-memory", as: .byteCount(), to: \.keyValueCacheBytes,
                "memory for keys and values (default enough for some sequences of full length)"),
        ]
    }

    private static var networkOptions: [Option<ServeSettings>] {
        [
            .repeated(
                "--listen", as: .text("HOST:PORT"), to: \.listen,
                "address to serve on, or unix:PATH; port 0 takes a free one (default \(defaultListen))"),
            .value("--tls-cert", as: .text("FILE"), to: \.certificateFile, "certificate chain, PEM"),
            .value("--tls-key", as: .text("FILE"), to: \.privateKeyFile, "private key of the certificate, PEM"),
            .value(
                "--tls-client-ca", as: .text("FILE"), to: \.clientAuthorityFile,
                "clients must show a certificate that these authorities signed, PEM; its name is their tenant"),
            .value(
                "--tls-min-version", as: .choice(), to: \.minimumTLSVersion, "oldest TLS spoken (default 1.2)"),
            .value(
                "--api-key-file", as: .text("FILE"), to: \.apiKeyFile,
                "file with the accepted API keys; 'lmserve key new' makes them"),
            .value(
                "--drain-timeout", as: .duration(), to: \.drainTimeout,
                "how long running requests may take to finish after SIGTERM (default 30s)"),
            .repeated(
                "--limit", as: .text("KEY=VALUE"), to: \.limits,
                "another value for one of the server's limits; 'lmserve limits' lists them"),
        ]
    }
}

/// What serving and measuring have in common: which model, on what.
struct ModelSettings {
    var name = ""
    var device = Device.auto
    var backend = BackendChoice.cpu
    var dataType = DataType.auto
    var keyValueDataType = KeyValueDataType.auto
    var threads: Int?
    var graphBatchSizes = BatchBuckets.standard.sizes
    var enforcesEager = false
    var tiling = AscendTiling.int8
    var tensorParallelSize = 1
    var dividesExperts = false
    var flashCommRows: Int?
    var quantization = Quantization.none
    var quantizesHead = false
    var quantizationReportFile: String?
    var calibration: String?

    /// How NPUs share the model.
    var division: AscendDivision {
        AscendDivision(ranks: tensorParallelSize, dividesExperts: dividesExperts, scatteredRows: flashCommRows)
    }

    enum Quantization: String, CaseIterable {
        case none, w8a8
    }

    enum Device: String, CaseIterable {
        case auto, cpu, npu
    }

    enum BackendChoice: String, CaseIterable {
        case cpu, reference
    }

    static func options<Settings>(at path: WritableKeyPath<Settings, ModelSettings>) -> [Option<Settings>] {
        [
            .value(
                "--model", as: .text("PATH|NAME"), to: path.appending(path: \.name),
                "Hugging Face folder or GGUF file, or the name of one under LM_MODELS or the cache"),
            .value("--device", as: .choice(), to: path.appending(path: \.device), "what computes (default auto)"),
            .value(
                "--backend", as: .choice(), to: path.appending(path: \.backend),
                "'reference' computes slowly and plainly in float32, as an oracle (default cpu)"),
            .value(
                "--dtype", as: .choice(), to: path.appending(path: \.dataType),
                "type of float weights, keys and values; sums are float32 (default auto, the model's own type)"),
            .value(
                "--kv-cache-dtype", as: .choice(), to: path.appending(path: \.keyValueDataType),
                "'int8' keeps keys and values as 8-bit integers, in about half of the memory; on the CPU (default auto, "
                    + "as --dtype says)"),
            .value(
                "--threads", as: .integer(in: 1...1024), to: path.appending(path: \.threads),
                "compute threads (default one per core)"),
            .value(
                "--graph-batch-sizes", as: .list(of: .integer(in: 1...BatchBuckets.largest)),
                to: path.appending(path: \.graphBatchSizes),
                "on an NPU, numbers of sequences for which decoding is captured as a graph; a batch is padded to the "
                    + "next (default \(BatchBuckets.standard.sizes.map { "\($0)" }.joined(separator: ",")))"),
            .flag(
                "--enforce-eager", set: path.appending(path: \.enforcesEager),
                "on an NPU, launch every operator by itself: slower, for finding faults"),
            .value(
                "--nz-weights", as: .choice(), to: path.appending(path: \.tiling),
                "on an NPU, matrices that are laid out as its matrix units read them, where its operators take them so: "
                    + "'int8', 'all', floats too, or 'none' (default int8)"),
            .value(
                "--tensor-parallel-size", as: .integer(in: 1...AscendDivision.largest),
                to: path.appending(path: \.tensorParallelSize),
                "NPUs that compute each step together, every one a part of each layer (default 1)"),
            .flag(
                "--enable-expert-parallel", set: path.appending(path: \.dividesExperts),
                "of models with experts, each of those NPUs has some experts, and not a part of every one"),
            .value(
                "--flashcomm", as: .integer("TOKENS", in: 1...1 << 20), to: path.appending(path: \.flashCommRows),
                "in steps of at least so many tokens those NPUs scatter sums and gather what they normalize, instead of "
                    + "each having all sums (default never)"),
            .value(
                "--quantization", as: .choice(), to: path.appending(path: \.quantization),
                "'w8a8' turns a float model's matrices to 8-bit integers while it loads, and keeps the result beside "
                    + "the model for the next start (default none)"),
            .flag(
                "--quantize-head", set: path.appending(path: \.quantizesHead),
                "quantize the output matrix too, and with tied embeddings the embedding"),
            .value(
                "--calibration", as: .text("FILE|none"), to: path.appending(path: \.calibration),
                "text the model reads (512 tokens) so that 'w8a8' can even out its channels first; 'none' leaves them "
                    + "(default a text of our own)"),
            .value(
                "--quantization-report", as: .text("FILE"), to: path.appending(path: \.quantizationReportFile),
                "write how far every quantized matrix is from the original, as JSON"),
        ]
    }
}
