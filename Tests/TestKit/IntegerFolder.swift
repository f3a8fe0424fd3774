/// A folder of 8-bit integers as one of the tools writes it, made from a small model by the tools' own formulas.
public struct IntegerFolder {
    /// Who writes.
    public enum Tool: Sendable, CaseIterable {
        case modelSlim
        case compressedTensors
    }

    /// How one matrix is stored.
    public enum Scheme: Sendable {
        case float
        case dynamic
        case fixed(inputScale: Float, inputOffset: Float)
    }

    /// The tool whose names and files are used.
    public var tool: Tool
    /// Whether `deq_scale` holds floats in 64 bits, as for models in float16.
    public var hasWideScales = false
    /// The scheme of a matrix, by the name of its weight.
    public var scheme: (String) -> Scheme = { _ in .dynamic }
    /// Changes the tensors before they are written.
    public var edit: (inout SafetensorsWriter) -> Void = { _ in }
    /// Members of `quant_model_description.json` instead of those that follow, or beside them.
    public var description: [String: String] = [:]
    /// `quantization_config` of compressed-tensors.
    public var configuration = IntegerFolder.dynamicConfiguration

    /// What LLM-Compressor writes for its scheme W8A8 with inputs by token.
    public static let dynamicConfiguration = configuration(
        inputs: #""dynamic":true,"num_bits":8,"strategy":"token","symmetric":true,"type":"int""#)

    /// A configuration with those keys for inputs.
    public static func configuration(
        inputs: String,
        weights: String = #""dynamic":false,"num_bits":8,"strategy":"channel","symmetric":true,"type":"int""#,
        format: String = "int-quantized"
    ) -> String {
        #"{"quant_method":"compressed-tensors","format":"\#(format)","ignore":["lm_head"],"kv_cache_scheme":null,"#
            + #""config_groups":{"group_0":{"targets":["Linear"],"weights":{\#(weights)},"input_activations":{\#(inputs)}}}}"#
    }

    /// Creates a maker.
    public init(_ tool: Tool) { self.tool = tool }

    /// Whether the tools quantize that tensor, gates and what attention needs in another form aside.
    public static func isMatrix(_ name: String, _ shape: [Int]) -> Bool {
        shape.count == 2 && name.hasSuffix("proj.weight") && !name.hasSuffix("kv_b_proj.weight")
            || name.hasSuffix("kv_a_proj_with_mqa.weight") || isMixtralExpert(name)
    }

    private static func isMixtralExpert(_ name: String) -> Bool {
        ["w1.weight", "w2.weight", "w3.weight"].contains { name.hasSuffix("." + $0) }
    }

    /// Writes the folder.
    public func make(_ model: FamilyModel) throws -> TemporaryFolder {
        let folder = try model.folder(storage: .bfloat16)
        try folder.remove("model.safetensors")
        var writer = SafetensorsWriter()
        var schemes = ["model_quant_type": "W8A8", "version": "1.0.0"]
        for (name, shape) in model.tensors.sorted(by: { $0.key < $1.key }) {
            let scheme = Self.isMatrix(name, shape) ? scheme(name) : .float
            let text =
                switch scheme {
                case .float: "FLOAT"
                case .dynamic: "W8A8_DYNAMIC"
                case .fixed: "W8A8"
                }
            if case .float = scheme {
                writer.add(name, shape, model.elements(of: name), type: "BF16")
            } else {
                add(name, shape, model, scheme, to: &writer)
            }
            schemes[name] = text
        }
        edit(&writer)
        switch tool {
        case .modelSlim:
            schemes.merge(description) { $1 }
            let members = schemes.map { "\"\($0)\":\"\($1)\"" }.sorted().joined(separator: ",")
            try folder.write("quant_model_description.json", "{\(members)}")
            try folder.write("quant_model_weights.safetensors", writer.bytes())
        case .compressedTensors:
            try folder.write("config.json", model.config.dropLast() + #","quantization_config":\#(configuration)}"#)
            try folder.write("model.safetensors", writer.bytes())
        }
        return folder
    }

    private func add(
        _ name: String, _ shape: [Int], _ model: FamilyModel, _ scheme: Scheme, to writer: inout SafetensorsWriter
    ) {
        let stem = String(name.dropLast("weight".count))
        let (rows, columns) = (shape[0], shape[1])
        let elements = model.elements(of: name)
        var scales: [Float] = []
        var quants: [Int8] = []
        for row in 0..<rows {
            let weights = elements[row * columns..<(row + 1) * columns]
            let scale = (weights.map(abs).max() ?? 0) / 127
            scales.append(scale)
            quants += weights.map { scale == 0 ? 0 : Int8(($0 / scale).rounded(.toNearestOrEven)) }
        }
        func append(_ suffix: String, _ type: String, _ shape: [Int], _ data: [UInt8]) {
            writer.entries.append(
                SafetensorsWriter.Entry(name: stem + suffix, type: type, shape: shape, offsets: nil, data: data))
        }
        append("weight", "I8", shape, quants.map { UInt8(bitPattern: $0) })
        if tool == .modelSlim { writer.add(stem + "weight_offset", [rows, 1], scales.map { _ in 0 }) }
        guard case .fixed(let inputScale, let inputOffset) = scheme else {
            writer.add(stem + "weight_scale", [rows, 1], scales)
            return
        }
        writer.add(stem + "input_scale", [1], [inputScale])
        guard tool == .modelSlim else {
            writer.add(stem + "weight_scale", [rows, 1], scales)
            if inputOffset != 0 { append("input_zero_point", "I8", [1], [UInt8(bitPattern: Int8(inputOffset))]) }
            return
        }
        writer.add(stem + "input_offset", [1], [inputOffset])
        let bias = model.tensors[stem + "bias"].map { _ in model.elements(of: stem + "bias") }
        let products = scales.map { $0 * inputScale }
        let addends = (0..<rows).map { row -> Int32 in
            let sum = quants[row * columns..<(row + 1) * columns].reduce(0) { $0 + Float($1) }
            return Int32(((bias?[row] ?? 0) / products[row] - inputOffset * sum).rounded(.toNearestOrEven))
        }
        append("quant_bias", "I32", [rows], addends.flatMap { GGUFWriter.bytes($0) })
        if hasWideScales {
            append("deq_scale", "I64", [rows], products.flatMap { GGUFWriter.bytes(Int64($0.bitPattern)) })
        } else {
            writer.add(stem + "deq_scale", [rows], products)
        }
    }
}
